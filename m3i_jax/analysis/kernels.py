"""Large convolution kernels as heads of attention: how far, how broadly, how differently they look.

Each channel of a depth-wise convolution is a head with one query, the centre of its kernel. Xie et
al. 2023, Figures 8 to 10, https://arxiv.org/abs/2205.13543, whose text says of the weights only
that they are normalised over H×W: docs/analysis.md#kernels has our reading.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from m3i_jax.types import Array

EPS = 1e-12  # inside the logarithms of divergences: kernels do have zeros

Kernel = Float[Array, "channels height width"]
Channels = Float[Array, " channels"]


def absolute(kernel: Kernel) -> Kernel:
    """a_c = |w_c| / Σ |w_c|, (C, h, w) -> the same; a kernel of zeros looks everywhere alike."""
    size = jnp.abs(kernel)
    total = size.sum((-2, -1), keepdims=True)
    even = 1.0 / (kernel.shape[-2] * kernel.shape[-1])
    return jnp.where(total > 0, size / jnp.where(total > 0, total, 1.0), even)


def softmax(kernel: Kernel) -> Kernel:
    """a_c = softmax of w_c over all places, (C, h, w) -> the same."""
    return jax.nn.softmax(kernel, axis=(-2, -1))


NORMALIZATIONS: dict[str, Callable[[Kernel], Kernel]] = {"absolute": absolute, "softmax": softmax}


def kernel_distance(weights: Kernel, *, stride: int = 1) -> Channels:
    """How far from its centre a kernel looks, in pixels: Σ_uv a_c(u, v) S ‖(u, v) − centre‖₂.

    Args:
      weights: (C, h, w), of which each channel sums to 1, see `absolute`.
      stride: S, pixels per cell of the map that is convolved.
    """
    height, width = weights.shape[-2:]
    rows, columns = np.indices((height, width))
    far = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2)
    return (weights * np.float32(stride * far)[None]).sum((-2, -1))


def kernel_entropy(weights: Kernel) -> Channels:
    """How broadly a kernel looks, in nats: −Σ a log a with 0 log 0 = 0; (C, h, w) -> (C,)."""
    return -jax.scipy.special.xlogy(weights, weights).sum((-2, -1))


def kernel_divergence(weights: Kernel) -> Channels:
    """How differently from the other channels a kernel looks, in nats, (C, h, w) -> (C,).

        mean over g ≠ c of Σ a_c (log(a_c + ε) − log(a_g + ε)),   ε = 1e-12

    The mean over g is taken of the logarithms, so no pair is ever made. 0 of a single channel.
    """
    others = max(weights.shape[0] - 1, 1)
    logs = jnp.log(weights + EPS)
    mean = (logs.sum(0, keepdims=True) - logs) / others
    apart = (weights * (logs - mean)).sum((-2, -1))
    return apart if weights.shape[0] > 1 else jnp.zeros_like(apart)


def depthwise(merged: dict[str, Any], stages: int) -> list[Float[np.ndarray, "channels h w"]]:
    """The large kernels of every block of a RepLKNet, (C, k, k) each.

    merged: parameters of the encoder, with its small kernels and norms merged into the large ones
      (`nn.large_kernel.merge`).
    """
    kernels = []
    for number in range(stages):
        stacked = merged[f"stages_{number}"]["blocks"]["large"]["conv"]["kernel"]
        kernels += [np.asarray(kernel)[:, :, 0].transpose(2, 0, 1) for kernel in stacked]
    return kernels
