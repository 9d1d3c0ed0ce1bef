"""Pyramids: maps of several strides and one width, which heads that find objects read.

Of the last map of a plain ViT alone (ViTDet, Li et al. 2022, §3,
https://arxiv.org/abs/2203.16527), or of all maps of an encoder with stages (FPN, Lin et al. 2017,
https://arxiv.org/abs/1612.03144), both as detectron2 has them
(https://github.com/facebookresearch/detectron2).
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.heads.maps import Maps, every, one
from m3i_jax.nn.activations import gelu
from m3i_jax.nn.convolution import TORCH, ConvLayer
from m3i_jax.nn.deconvolution import Deconvolution
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.types import Array, Features, Grid

# Glorot with the rows alone: Caffe2's "Xavier", of all layers without a ReLU in FPN.
CAFFE2 = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
SCALES = (4.0, 2.0, 1.0, 0.5)


class SimplePyramid(nn.Module):
    """Maps of strides 4 to 64, of a map of stride 16.

        p2 = f(deconv(gelu(LN(deconv(x)))))    p3 = f(deconv(x))    p4 = f(x)
        p5 = f(largest of 2×2 of x)            p6 = every second cell of p5

    f: a convolution 1×1 and one 3×3, a norm behind each, `levels_i/{first, second}`; a
    deconvolution, 2×2 with stride 2, halves the width, `levels_i/up_j`, its norm `levels_i/norm`.

    width: of the maps.
    norm: "layer", or "none", with biases in its place.
    """

    width: int = 256
    norm: str = "layer"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, features: Features) -> Maps:
        """The last map (B, h, w, D) -> five maps of `width` channels, the first (B, 4h, 4w, width).

        Raises:
          ConfigError: a map of one row or column, or whose width 4 does not divide.
        """
        x = one(features, -1, what="the simple pyramid")
        height, columns, channels = x.shape[1:]
        if min(height, columns) < 2 or channels % 4:
            raise ConfigError(
                f"the simple pyramid reads a map of {height}x{columns} cells and {channels} "
                "channels; expected 2x2 cells or more and a width that 4 divides"
            )
        maps = [
            SimpleLevel(scale, self.width, self.norm, self.dtype, name=f"levels_{i}")(x)
            for i, scale in enumerate(SCALES)
        ]
        return *maps, maps[-1][:, ::2, ::2]


class SimpleLevel(nn.Module):
    """A map of `SimplePyramid`, `scale` times as fine as the one it is of: 4, 2, 1 or ½."""

    scale: float
    width: int
    norm: str
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns dim"]
    ) -> Float[Array, "batch _rows _columns out"]:
        """x (B, h, w, D) -> (B, scale h, scale w, width)."""
        if self.scale == 0.5:
            x = nn.max_pool(x, (2, 2), (2, 2))
        ups, channels = {4.0: 2, 2.0: 1}.get(self.scale, 0), x.shape[-1]
        for i in range(ups):
            channels //= 2
            own = dict(bias=True, kernel_init=TORCH, dtype=self.dtype)
            x = Deconvolution(channels, 2, **own, name=f"up_{i}")(x)
            if i + 1 < ups:
                x = gelu(LayerNorm(dtype=self.dtype, name="norm")(x))
        own = dict(norm=self.norm, kernel_init=TORCH, dtype=self.dtype)
        x = ConvLayer(self.width, 1, **own, name="first")(x)
        return ConvLayer(self.width, 3, **own, name="second")(x)


class FeaturePyramid(nn.Module):
    """Maps of the strides of an encoder's stages, and one of twice the last.

        m_n = f1(x_n)    m_i = f1(x_i) + nearest(m_{i+1})    p_i = f3(m_i)
        p_{n+1} = every second cell of p_n

    f1, f3: convolutions 1×1, `laterals_i`, and 3×3, `outputs_i`, with a norm or a bias.
    """

    width: int = 256
    norm: str = "none"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, features: Features) -> Maps:
        """Maps (B, h_i, w_i, D_i), finest first -> one more, all of `width` channels.

        Raises:
          ConfigError: a map that is not half as large as the one before it, rounded up.
        """
        maps = every(features, what="the feature pyramid")
        sizes = [x.shape[1:3] for x in maps]
        for before, size in zip(sizes, sizes[1:], strict=False):
            if size != tuple(-(-n // 2) for n in before):
                raise ConfigError(
                    f"the feature pyramid gets maps of {sizes} cells, of which each is to be half "
                    "of the one before it: expected an encoder with stages, finest first; of a ViT "
                    "pyramid 'simple'"
                )
        own = dict(norm=self.norm, kernel_init=CAFFE2, dtype=self.dtype)
        levels = [
            ConvLayer(self.width, 1, **own, name=f"laterals_{i}")(x) for i, x in enumerate(maps)
        ]
        for i in reversed(range(len(levels) - 1)):
            levels[i] += doubled(levels[i + 1], levels[i].shape[1:3])
        levels = [
            ConvLayer(self.width, 3, **own, name=f"outputs_{i}")(x) for i, x in enumerate(levels)
        ]
        return *levels, levels[-1][:, ::2, ::2]


def doubled(
    x: Float[Array, "batch rows columns dim"], grid: Grid
) -> Float[Array, "batch _rows _columns dim"]:
    """Each cell as 2×2 of them, as many as the finer map has; (B, h, w, D) -> (B, *grid, D)."""
    return x.repeat(2, axis=1).repeat(2, axis=2)[:, : grid[0], : grid[1]]


PYRAMIDS = {"simple": SimplePyramid, "fpn": FeaturePyramid}
