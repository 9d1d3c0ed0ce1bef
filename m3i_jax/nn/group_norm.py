"""Group norm of maps, which knows nothing of the other images of a batch.

Wu & He 2018, https://arxiv.org/abs/1803.08494.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax.nn.convolution import convolve
from m3i_jax.nn.norms import standardize
from m3i_jax.types import Array

GROUPS = 32


class GroupNorm(nn.Module):
    """Normalises groups of neighbouring channels of each image; parameters scale and bias (C,).

    groups: at most so many; as many as divide both them and the channels.
    """

    groups: int = GROUPS
    eps: float = 1e-5

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        kept: Bool[Array, "batch height width"] | None = None,
    ) -> Float[Array, "batch height width channels"]:
        """x (B, H, W, C) -> (B, H, W, C) float32.

        kept: cells whose mean and variance these are; None = all.
        """
        width = x.shape[-1]
        groups = math.gcd(self.groups, width)
        y = x.reshape(*x.shape[:3], groups, width // groups)
        if kept is None:
            y = standardize(y, (1, 2, 4), self.eps)
        else:
            y = y.astype(jnp.float32)
            how = dict(axis=(1, 2, 4), keepdims=True, where=kept[..., None, None])
            y = (y - y.mean(**how)) / jnp.sqrt(y.var(**how) + self.eps)
        y = y.reshape(x.shape)
        scale = self.param("scale", nn.initializers.ones, (width,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        return y * scale[None, None, None] + bias[None, None, None]


class ConvGroupNorm(nn.Module):
    """Group norm of a convolution: parameters conv/{kernel, bias} and norm/{scale, bias}."""

    features: int
    size: int = 1
    stride: int = 1
    bias: bool = False
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        kept: Bool[Array, "batch rows columns"] | None = None,
    ) -> Float[Array, "batch rows columns out"]:
        """x (B, H, W, C) -> (B, ⌈H/stride⌉, ⌈W/stride⌉, features) float32.

        kept: of the cells that are returned those that the norm is of; None = all.
        """
        y = convolve(
            x,
            self.features,
            self.size,
            stride=self.stride,
            bias=self.bias,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )
        return GroupNorm(name="norm")(y, kept)
