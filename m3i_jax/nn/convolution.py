"""Convolutions of encoders: padded as in PyTorch, without bias where a batch norm follows."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.nn.linear import SAVED
from m3i_jax.nn.norms import LayerNorm, TrackedBatchNorm
from m3i_jax.types import Array, Grid

# He et al. 2015, as torchvision's ResNet; and what PyTorch's convolutions start with.
KAIMING = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
TORCH = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def cells(images: Float[Array, "batch height width channels"], stride: int) -> Grid:
    """(rows, columns) of the map to which `stride` brings images (B, H, W, 3).

    Raises:
      ValueError: the stride does not divide them, so that cells would show more than the image.
    """
    height, width = images.shape[1:3]
    if height % stride or width % stride or not height or not width:
        raise ValueError(f"images are {height}x{width}, which is not divisible by stride {stride}")
    return height // stride, width // stride


def convolve(
    x: Float[Array, "batch height width channels"],
    features: int,
    size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
    kernel_init: Callable = KAIMING,
    dtype: DTypeLike = jnp.float32,
    name: str,
) -> Float[Array, "batch rows columns out"]:
    """x (B, H, W, C) -> (B, ⌈H/stride⌉, ⌈W/stride⌉, features) in `dtype`, in a compact method.

    dilation · (size // 2) zeros on every side, which "SAME" does not give where it strides.
    """
    conv = nn.Conv(
        features,
        (size, size),
        strides=stride,
        padding=((dilation * (size // 2),) * 2,) * 2,
        kernel_dilation=dilation,
        feature_group_count=groups,
        use_bias=bias,
        kernel_init=kernel_init,
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )
    return checkpoint_name(conv(x), SAVED)


class ConvNorm(nn.Module):
    """Batch norm of a convolution: parameters conv/kernel and norm/{scale, bias, mean, var}."""

    features: int
    size: int = 1
    stride: int = 1
    groups: int = 1
    kernel_init: Callable = KAIMING
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], batch_stats: int
    ) -> Float[Array, "batch rows columns out"]:
        """x (B, H, W, C) -> (B, ⌈H/stride⌉, ⌈W/stride⌉, features) float32."""
        y = convolve(
            x,
            self.features,
            self.size,
            stride=self.stride,
            groups=self.groups,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )
        return TrackedBatchNorm(name="norm")(y, batch_stats)


class ConvLayer(nn.Module):
    """Layer norm of a convolution over channels, eps 1e-6: conv/kernel and norm/{scale, bias}.

    norm: "layer", or "none": conv/{kernel, bias} alone.
    """

    features: int
    size: int = 1
    norm: str = "layer"
    kernel_init: Callable = KAIMING
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width out"]:
        """x (B, H, W, C) -> (B, H, W, features) in `dtype`."""
        own = dict(bias=self.norm == "none", kernel_init=self.kernel_init, dtype=self.dtype)
        y = convolve(x, self.features, self.size, **own, name="conv")
        return y if self.norm == "none" else LayerNorm(dtype=self.dtype, name="norm")(y)
