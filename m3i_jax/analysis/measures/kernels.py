"""How far, how broadly and how differently the large kernels of a RepLKNet look.

Xie et al. 2023, Figures 8 to 10, https://arxiv.org/abs/2205.13543; docs/analysis.md#kernels. They
are weights: no image is read.
"""

from collections.abc import Callable
from typing import Annotated

import jax
import numpy as np
from jaxtyping import Float

from m3i_jax.analysis import kernels
from m3i_jax.analysis.measure import Measure, Rows, Shown
from m3i_jax.analysis.placement import encoder, names
from m3i_jax.encoders.replknet import RepLKNet
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.models import Model
from m3i_jax.nn.large_kernel import merge
from m3i_jax.texts import OneOf
from m3i_jax.types import Array

Normalize = Annotated[str, OneOf(*kernels.NORMALIZATIONS)]
Weights = Float[Array, "channels height width"]


def kernel_distance(*, normalize: Normalize = "absolute") -> Measure:
    """How far from its centre the kernel of each channel looks, in pixels.

    normalize: "absolute", a weight counts by its size, or "softmax".
    """
    of = lambda weights, stride: kernels.kernel_distance(weights, stride=stride)  # noqa: E731
    return _channels("kernel_distance", "distance in large kernels", "pixels", normalize, of)


def kernel_entropy(*, normalize: Normalize = "absolute") -> Measure:
    """How broadly the kernel of each channel looks, in nats.

    normalize: "absolute", a weight counts by its size, or "softmax".
    """
    of = lambda weights, stride: kernels.kernel_entropy(weights)  # noqa: E731
    return _channels("kernel_entropy", "entropy of large kernels", "nats", normalize, of)


def kernel_divergence(*, normalize: Normalize = "absolute") -> Measure:
    """How differently from the other channels' the kernel of each channel looks, in nats.

    normalize: "absolute", a weight counts by its size, or "softmax".
    """
    of = lambda weights, stride: kernels.kernel_divergence(weights)  # noqa: E731
    return _channels("kernel_divergence", "divergence between large kernels", "nats", normalize, of)


def _channels(
    name: str, title: str, unit: str, normalize: str, of: Callable[[Weights, int], Array]
) -> Measure:
    """The measure whose number for each channel is `of` (weights, pixels per cell) of a block."""

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        values = []
        for kernel, stride in large_kernels(evaluation.model):
            weights = kernels.NORMALIZATIONS[normalize](jax.numpy.asarray(kernel))
            values.append(np.asarray(of(weights, stride), np.float64))
        shown = {"heads": values, "mean": [float(block.mean()) for block in values]}
        return Shown("heads", shown, {"blocks": names(evaluation.model)})

    return Measure(name, title, unit, {"normalize": normalize}, measure)


def large_kernels(model: Model) -> list[tuple[Weights, int]]:
    """The merged kernels of every block, and how many pixels a cell of the block's map is wide.

    Raises:
      NotMeasurable: the encoder is no RepLKNet.
    """
    module = encoder(model)
    if not isinstance(module, RepLKNet):
        kind = type(module).__name__
        raise NotMeasurable(f"{model.name} is a {kind}; large kernels are those of a RepLKNet")
    stages = len(module.depths)
    merged = kernels.depthwise(merge(model.params["encoders"]["image"]), stages)
    strides = [
        module.patch // 2 ** (stages - 1 - stage)
        for stage, depth in enumerate(module.depths)
        for _ in range(depth)
    ]
    return list(zip(merged, strides, strict=True))
