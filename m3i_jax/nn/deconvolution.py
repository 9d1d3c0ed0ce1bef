"""Transposed convolutions of stride 2, which double a map.

Each cell adds a kernel's worth of values to the finer map: y[2i + t − p] += x[i] w[t], with as much
padding p = size/2 − 1 as makes the map twice as large.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.nn.convolution import KAIMING
from m3i_jax.nn.linear import dot
from m3i_jax.nn.norms import TrackedBatchNorm
from m3i_jax.types import Array

SIZES = (2, 4)


class Deconvolution(nn.Module):
    """A map of twice the size; parameters `kernel` (size, size, C, features) and `bias`.

    size: 2, where no cell reaches into another's four, or 4.
    """

    features: int
    size: int
    bias: bool = False
    kernel_init: Callable = KAIMING
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns dim"]
    ) -> Float[Array, "batch 2*rows 2*columns features"]:
        """x (B, H, W, C) -> (B, 2H, 2W, features) in `dtype`."""
        shape = self.size, self.size, x.shape[-1], self.features
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        y = doubled(x.astype(self.dtype), kernel)
        if not self.bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, shape[-1:], jnp.float32)
        return y + bias.astype(self.dtype).reshape(1, 1, 1, -1)


class DeconvolutionNorm(nn.Module):
    """Batch norm of a deconvolution: parameters conv/kernel and norm/{scale, bias, mean, var}."""

    features: int
    size: int
    kernel_init: Callable = KAIMING
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns dim"], batch_stats: int
    ) -> Float[Array, "batch 2*rows 2*columns features"]:
        """x (B, H, W, C) -> (B, 2H, 2W, features) float32."""
        given = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        y = Deconvolution(self.features, self.size, **given, name="conv")(x)
        return TrackedBatchNorm(name="norm")(y, batch_stats)


def doubled(
    x: Float[Array, "batch rows columns dim"],
    kernel: Float[Array, "size size dim features"],
) -> Float[Array, "batch 2*rows 2*columns features"]:
    """The transposed convolution of stride 2 of x by a float32 kernel (size, size, C, D).

    As one product of cells and their neighbours that makes all four cells of the finer map, each
    with its quarter of the taps. A convolution of x with zeros between its cells multiplies these,
    too, and the gradient of its kernel takes processors ten times as long.
    """
    size, (batch, height, width, _) = kernel.shape[0], x.shape
    taps, around = size // 2, size // 2 - 1
    # Of size 4, the even cell of cell i has taps 3 and 1 of cells i − 1 and i, the odd one taps 2
    # and 0 of i and i + 1.
    kernel = kernel if taps == 1 else kernel[::-1, ::-1]
    quarters = kernel.reshape(taps, 2, taps, 2, *kernel.shape[2:]).transpose(0, 2, 4, 1, 3, 5)
    padded = jnp.pad(x, ((0, 0), (around, around), (around, around), (0, 0)))
    windows = [
        padded[:, i : i + height + around, j : j + width + around]
        for i in range(taps)
        for j in range(taps)
    ]
    weights = quarters.reshape(taps * taps * x.shape[-1], -1)
    y = dot(jnp.concatenate(windows, axis=-1), weights)
    y = y.reshape(*y.shape[:3], 2, 2, -1)
    first = (0, around)
    rows = jnp.stack([y[:, n : n + height, :, i] for i, n in enumerate(first)], axis=2)
    cells = [rows[:, :, :, n : n + width, j] for j, n in enumerate(first)]
    return jnp.stack(cells, axis=4).reshape(batch, 2 * height, 2 * width, -1)
