"""UPerNet: a pyramid of means over the coarsest map, which finer maps complete from the top down.

Xiao et al. 2018, https://arxiv.org/abs/1807.10221; the pyramid is PSPNet's (Zhao et al. 2017,
https://arxiv.org/abs/1612.01105), the maps of a ViT are resized as BEiT's (Bao et al. 2021,
https://arxiv.org/abs/2106.08254), and all of it as mmsegmentation has it.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax import geometry
from m3i_jax.build import ConfigError
from m3i_jax.heads.linear import classified
from m3i_jax.heads.maps import Maps, every
from m3i_jax.nn.activations import gelu
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.convolution import TORCH, ConvNorm
from m3i_jax.nn.deconvolution import Deconvolution, DeconvolutionNorm
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.ranges import Range, Rate, Width
from m3i_jax.types import Array, Features

WHAT = "the upernet head"
STRIDES = 4  # of the maps that are made of one grid: times 4, 2, 1 and 1/2


class UPerNet(nn.Module):
    """Logits of the cells of the finest map, from all maps, finest first.

    p_n = f3[x_n, resized f1(means of x_n in b×b bins) for each b]
    p_i = f1(x_i) + resized p_{i+1}
    y   = W drop(f3[f3(p_1), resized f3(p_2), ..., resized p_n]) + b

    f1, f3: a convolution 1×1 or 3×3, a batch norm, a ReLU. Where all maps are of one grid, as those
    of a ViT are, there are four, and they are resized first, times 4, 2, 1 and 1/2.

    Attributes:
      out: width of y, the number of classes.
      width: of the convolutions (Swin: 512; BEiT and MAE: that of the encoder).
      bins: bins on a side, for each level of the pyramid.
      norm_in: a layer norm of each map (Swin).
      dropout: of whole channels.
      dtype: of the products but the last, which makes logits.
    """

    out: Width
    width: Width = 512
    bins: tuple[Annotated[int, Range(1, 64)], ...] = (1, 2, 3, 6)
    norm_in: bool = False
    dropout: Rate = 0.1
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()
    norm: ClassVar[str] = "running"

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option."""
        check_choice(WHAT, "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool = False
    ) -> Float[Array, "batch _rows _columns out"]:
        """Maps (B, h_i, w_i, D_i), finest first -> (B, h_1, w_1, out) float32.

        Four maps (B, h, w, D) of one grid -> (B, 4h, 4w, out).

        train: whether channels are dropped and statistics are those of the batch.

        Raises:
          ConfigError: maps of one grid that are not four, or a map finer than the one before it.
        """
        maps, stats = _finest_first(every(x, what=WHAT)), int(train)
        if self.norm_in:
            norm = lambda i: LayerNorm(eps=1e-5, name=f"norm_{i}")  # noqa: E731
            maps = [norm(i)(y) for i, y in enumerate(maps)]
        if len({y.shape[1:3] for y in maps}) == 1:
            maps = Necks(jnp.dtype(self.dtype), name="necks")(maps, stats)
        *finer, coarsest = maps
        levels = [self._convolved(y, 1, f"laterals_{i}", stats) for i, y in enumerate(finer)]
        levels.append(self._pyramid(coarsest, stats))
        for i in reversed(range(len(finer))):
            levels[i] += geometry.bilinear(levels[i + 1], levels[i].shape[1:3])
        grid = levels[0].shape[1:3]
        levels[:-1] = [
            self._convolved(y, 3, f"outputs_{i}", stats) for i, y in enumerate(levels[:-1])
        ]
        y = jnp.concatenate([geometry.bilinear(y, grid) for y in levels], axis=-1)
        y = self._convolved(y, 3, "fusion", stats)
        return classified(y, self.out, dropout=self.dropout, train=train)

    def _pyramid(self, x, stats):
        """The coarsest map beside its means in bins, (B, h, w, width) float32."""
        levels = [x.astype(jnp.float32)]
        for number, bins in enumerate(self.bins):
            means = geometry.adaptive_mean(x, (bins, bins))
            y = self._convolved(means, 1, f"pyramid_{number}", stats)
            levels.append(geometry.bilinear(y, x.shape[1:3]))
        return self._convolved(jnp.concatenate(levels, axis=-1), 3, "bottleneck", stats)

    def _convolved(self, x, size, name, stats):
        """A convolution size×size, a batch norm and a ReLU, float32."""
        made = ConvNorm(self.width, size, dtype=jnp.dtype(self.dtype), name=name)
        return nn.relu(made(x, stats))


def _finest_first(maps: Maps) -> Maps:
    """The maps, none of which is finer than the one before it."""
    sizes = [y.shape[1:3] for y in maps]
    for before, size in zip(sizes, sizes[1:], strict=False):
        if any(n > m for m, n in zip(before, size, strict=True)):
            raise ConfigError(
                f"{WHAT} gets a map of {'x'.join(map(str, size))} cells behind one of "
                f"{'x'.join(map(str, before))}; expected the finest first"
            )
    return maps


class Necks(nn.Module):
    """Maps of four sizes from four of one: two deconvolutions, one, none, and a max-pool.

    Parameters first/{conv, norm}, second and third: times 4 is first, GELU, second; times 2 third.
    """

    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, maps: Sequence[Float[Array, "batch rows columns _dim"]], batch_stats: int
    ) -> Maps:
        """Four of (B, h, w, D) -> (B, 4h, 4w, D), (B, 2h, 2w, D), that, (B, h/2, w/2, D)."""
        height, width = maps[0].shape[1:3]
        if len(maps) != STRIDES:
            raise ConfigError(
                f"{WHAT} gets {len(maps)} of one grid, {height}x{width} cells; expected {STRIDES} "
                "maps of it, as behind four blocks of a ViT, or maps of several grids"
            )
        if min(height, width) < 2:
            raise ConfigError(
                f"{WHAT} gets maps of {height}x{width} cells, of which no map of half the size "
                "can be made; expected 2x2 cells or more"
            )
        quarter, half, same, twice = maps
        given = dict(size=2, kernel_init=TORCH, dtype=self.dtype)
        y = DeconvolutionNorm(quarter.shape[-1], **given, name="first")(quarter, batch_stats)
        given |= {"bias": True}
        quarter = Deconvolution(quarter.shape[-1], **given, name="second")(gelu(y))
        half = Deconvolution(half.shape[-1], **given, name="third")(half)
        return quarter, half, same, nn.max_pool(twice, (2, 2), (2, 2))
