"""Stem and stages of InternImage around the blocks of `dcn`, and M3I's map of the last two.

Wang et al. 2023, https://arxiv.org/abs/2211.05778.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.nn.activations import gelu
from m3i_jax.nn.blocks import REMAT
from m3i_jax.nn.choices import Remat
from m3i_jax.nn.convolution import TORCH, convolve
from m3i_jax.nn.dcn import Block, Extra, Form
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.types import Array, Observed, ObserveLayers


class PostNorms(nn.Module):
    """Layer norms behind some blocks of a stage, stacked: `scale` and `bias` (number, C)."""

    @nn.compact
    def __call__(self, after: tuple[int, ...], rates: Array, width: int) -> Extra:
        """What each block of the stage is given, (depth, ...)."""
        depth, at = len(rates), jnp.asarray(after, jnp.int32)
        on = jnp.zeros(depth, bool).at[at].set(True)
        shape = (len(after), width)
        scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        zeros = jnp.zeros((depth, width))
        return Extra(rates, on, zeros.at[at].set(scale), zeros.at[at].set(bias))


class Stage(nn.Module):
    """Blocks of one width, stacked along a leading depth axis, and the map of half the size."""

    depth: int
    groups: int
    form: Form
    end_norm: bool
    normed_after: tuple[int, ...] = ()
    downsample: bool = True
    drop: bool = False
    keep: ObserveLayers = False
    scan: bool = True
    remat: Remat = "none"

    @nn.compact
    def __call__(self, x: Array, rates: Array) -> tuple[Array, Array, Observed | None]:
        """x (B, H, W, C) float32 -> the result, it at half the size, cells (depth, B, n, C)."""
        form = self.form
        empty = jnp.zeros((self.depth, 0))
        extra = Extra(rates, empty, empty, empty)
        if self.normed_after:
            extra = PostNorms(name="post_norms")(self.normed_after, rates, x.shape[-1])
        body = Block
        if REMAT[self.remat] is not None:
            body = nn.remat(body, policy=REMAT[self.remat], prevent_cse=not self.scan)
        scanned = nn.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True, "droppath": True},
            in_axes=0,
            length=self.depth,
            unroll=1 if self.scan else self.depth,
        )
        blocks = scanned(
            self.groups, form, self.drop, bool(self.normed_after), self.keep, name="blocks"
        )
        x, layers = blocks(x, extra)
        if self.end_norm:
            x = LayerNorm(form.eps, name="norm")(x)
        return x, Downsample(form, name="downsample")(x) if self.downsample else x, layers


class Downsample(nn.Module):
    """A 3x3 convolution of stride 2 to twice the width, without bias, and a layer norm."""

    form: Form

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(B, H, W, C) float32 -> (B, H/2, W/2, 2C) float32."""
        conv = dict(stride=2, kernel_init=TORCH, dtype=self.form.dtype)
        y = convolve(x, 2 * x.shape[-1], 3, name="conv", **conv)
        return LayerNorm(self.form.eps, name="norm")(y)


class Stem(nn.Module):
    """Two 3x3 convolutions of stride 2, to C/2 and C, each with a layer norm, GELU between."""

    width: int
    form: Form

    @nn.compact
    def __call__(self, images: Float[Array, "batch height width 3"]) -> Array:
        """(B, H, W, 3) -> (B, H/4, W/4, C) float32."""
        conv = dict(stride=2, bias=True, kernel_init=TORCH, dtype=self.form.dtype)
        x = convolve(images, self.width // 2, 3, name="conv1", **conv)
        x = gelu(LayerNorm(self.form.eps, name="norm1")(x))
        x = convolve(x, self.width, 3, name="conv2", **conv)
        return LayerNorm(self.form.eps, name="norm2")(x)


class Projection(nn.Module):
    """M3I's map of stride 16: PixelShuffle(Linear(x4), 2) + Linear(x3) (docs/methods.md#m3i)."""

    width: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x3: Array, x4: Array) -> Array:
        """x3 (B, 2h, 2w, 4C) and x4 (B, h, w, 8C) -> (B, 2h, 2w, width) float32."""
        coarse = Linear(4 * self.width, dtype=self.dtype, name="x4")(x4)
        fine = Linear(self.width, dtype=self.dtype, name="x3")(x3)
        return pixel_shuffle(coarse.astype(jnp.float32), 2) + fine.astype(jnp.float32)


def pixel_shuffle(
    x: Float[Array, "batch rows columns channels"], factor: int
) -> Float[Array, "batch height width dim"]:
    """(B, h, w, C·r²) -> (B, h·r, w·r, C), channel (c, i, j) to pixel (i, j), as torch does."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, channels // factor**2, factor, factor)
    return x.transpose(0, 1, 4, 2, 5, 3).reshape(batch, height * factor, width * factor, -1)
