"""What stages of Swin Transformer V2 are made of: blocks of windowed attention, and the merging.

Liu et al. 2022, https://arxiv.org/abs/2111.09883.
"""

import functools

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax.nn.blocks import DropPath
from m3i_jax.nn.initial import Init
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.mlp import Mlp
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.nn.observe import kept
from m3i_jax.nn.windows import WindowAttention, Windows, merge, partition, places, together
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.types import Array, Grid, ObserveAttention, ObserveLayers

EPS = 1e-5
NORMAL = nn.initializers.normal(0.02)

Map = Float[Array, "batch height width dim"]


class SwinBlock(nn.Module):
    """x + norm1(attention(x)), then x + norm2(mlp(x)): the norms are behind the branches."""

    heads: int
    windows: Windows
    reference: Grid
    mlp_ratio: float
    drop: bool
    keep_layers: ObserveLayers
    keep_attention: ObserveAttention
    core: str
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Map, rate: Float[Array, ""], shifted: Bool[Array, ""] | bool
    ) -> tuple[Map, tuple]:
        """x (B, h, w, D) float32, drop-path rate, whether windows shift -> x, (x, weights)."""
        x, cut = batch_sharded(x), self.windows
        attention = WindowAttention(
            self.heads,
            cut.size,
            self.reference,
            report=self.keep_attention,
            core=self.core,
            dtype=self.dtype,
            name="attn",
        )
        y = partition(x.astype(self.dtype), cut, shifted=shifted)
        where = functools.partial(places, cut, shifted=shifted)
        y, weights = attention(y, together(cut, shifted=shifted), where)
        x = x + self._branch(merge(y, cut, shifted=shifted), rate, 1)
        mlp = Mlp(self.mlp_ratio, kernel_init=Init.same(NORMAL), dtype=self.dtype, name="mlp")
        x = x + self._branch(mlp(x), rate, 2)
        return x, (kept(self.keep_layers, x), weights)

    def _branch(self, y, rate, number):
        """The branch `y` as it is added to the float32 residual stream."""
        # The scale starts at zero, so that the block starts as the identity.
        y = LayerNorm(EPS, scale_init=nn.initializers.zeros, name=f"norm{number}")(y)
        return DropPath(name=f"drop_path{number}")(y, rate) if self.drop else y


class PatchMerging(nn.Module):
    """Four neighbours in one cell of twice the width: a linear layer, and the norm behind it."""

    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Map) -> Float[Array, "batch rows columns out"]:
        """x (B, h, w, D) -> (B, h/2, w/2, 2D) float32; neighbours are joined column by column."""
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 4, 2, 5)
        x = x.reshape(batch, height // 2, width // 2, 4 * channels)
        x = Linear(2 * channels, False, NORMAL, self.dtype, name="reduction")(x)
        return LayerNorm(EPS, name="norm")(x)
