"""A tracker: where in a region the object of a template is, from the maps of both.

Lin et al. 2022 (SwinTrack), https://arxiv.org/abs/2112.00995.
"""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.detection import boxes
from m3i_jax.detection.tracking import Tracked, cell_boxes
from m3i_jax.heads.maps import Maps, every
from m3i_jax.nn.activations import gelu
from m3i_jax.nn.attend import attend
from m3i_jax.nn.blocks import check_blocks
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.mlp import Mlp
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.nn.untied import UntiedPositions
from m3i_jax.ranges import Blocks, Heads, Range, Ratio, Width
from m3i_jax.types import Array, Features

SEARCH, TEMPLATE = 0, 1  # the maps, in their order
LAYERS = 3  # of the MLPs that say how sure a cell is, and which box


class SwinTrack(nn.Module):
    """ŷ = MLP(decoder(search, encoder([search; template]))), of every cell of the search region.

    The encoder are blocks of attention among the tokens of both maps, x + f(LN(x)); the decoder's
    one lets those of the search region read all of them. Where tokens are is said to the attention
    alone, by `nn.untied.UntiedPositions`, one for the encoder and one for the decoder.

    Attributes:
      out: 1, an object or none.
      width: of the tokens; the maps are projected to it where theirs is another. SwinTrack-T: 384,
        B: 512.
      depth: blocks of the encoder. T: 4, B: 8.
      heads, mlp_ratio: of the blocks.
      times: how many times as high and wide the search region is as the template.
      dtype: of the products.
    """

    out: Width
    width: Width = 384
    depth: Blocks = 4
    heads: Heads = 8
    mlp_ratio: Ratio = 4.0
    times: Annotated[int, Range(1, 8)] = 2
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("size",)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        sizes = dict(width=self.width, heads=self.heads, depth=self.depth)
        about = dict(dtype=self.dtype, remat="none", mlp_ratio=self.mlp_ratio, **sizes)
        check_blocks("the swin_track head", **about)
        if self.out != 1:
            raise ConfigError(
                f"the swin_track head tells one object from all else, but is asked for {self.out} "
                "kinds: it goes with the objective 'swin_track'"
            )

    @nn.compact
    def __call__(self, x: Features, *, size: tuple[int, int], train: bool = False) -> Tracked:
        """Maps (B, h, w, D) of the search region and (B, h', w', D) of the template -> `Tracked`.

        size: height and width of the search region in pixels.
        """
        maps = self._both(every(x, what="the swin_track head"))
        grids = tuple(y.shape[1:3] for y in maps)
        search, template = self._tokens(maps)
        about = dict(heads=self.heads, dtype=jnp.dtype(self.dtype))
        bias = UntiedPositions(self.width, **about, name="encoder_positions")(grids)
        tokens = jnp.concatenate([search, template], axis=1)
        for i in range(self.depth):
            tokens = _Block(self.mlp_ratio, **about, name=f"encoder_{i}")(tokens, None, bias)
        positions = UntiedPositions(self.width, **about, name="decoder_positions")
        bias = positions(grids, asking=(SEARCH,))
        search = tokens[:, : search.shape[1]]
        search = _Block(self.mlp_ratio, **about, name="decoder")(search, tokens, bias)
        search = LayerNorm(dtype=jnp.dtype(self.dtype), name="norm")(search)
        logits = self._mlp("score", search, 1)[..., 0]
        place = nn.sigmoid(self._mlp("box", search, 4))
        scale = jnp.tile(jnp.asarray(size, jnp.float32), 2)
        where = jnp.asarray(cell_boxes(grids[SEARCH], size))[None]
        where = jnp.broadcast_to(where, (len(logits), *where.shape[1:]))
        return Tracked(logits, boxes.from_centres(place) * scale[None, None], where)

    def _both(self, maps: Maps) -> Maps:
        """The map of the search region and that of the template.

        Of one image, as when parameters are made, the upper left corner stands for the template.
        """
        if len(maps) > 2:
            raise ConfigError(
                "the swin_track head reads one map of a search region and one of a template, but "
                f'gets {len(maps)}: let objective.blocks be "last", or one number'
            )
        if len(maps) == 2:
            return maps
        rows, columns = (max(1, side // self.times) for side in maps[0].shape[1:3])
        return maps[0], maps[0][:, :rows, :columns]

    def _tokens(self, maps: Maps) -> list[Float[Array, "batch _tokens dim"]]:
        """The cells of every map in a row, as wide as the blocks, by one projection."""
        rows = [y.reshape(y.shape[0], -1, y.shape[-1]).astype(jnp.float32) for y in maps]
        if rows[0].shape[-1] == self.width:
            return rows
        project = Linear(self.width, dtype=jnp.dtype(self.dtype), name="project")
        return [project(y).astype(jnp.float32) for y in rows]

    def _mlp(self, name: str, y, out: int) -> Float[Array, "batch tokens out"]:
        """Three linear layers, float32."""
        for i in range(LAYERS - 1):
            y = gelu(Linear(self.width, dtype=jnp.dtype(self.dtype), name=f"{name}_{i}")(y))
        return Linear(out, name=f"{name}_{LAYERS - 1}")(y).astype(jnp.float32)


class _Block(nn.Module):
    """x + Attention(LN(x), LN(y)), then x + MLP(LN(x)); y = x where none is given."""

    mlp_ratio: float
    heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, y, bias):
        """x (B, q, D), y (B, k, D) or None, bias (1, heads, q, k) -> (B, q, D) float32."""
        width, norm = x.shape[-1], lambda name: LayerNorm(dtype=self.dtype, name=name)
        asking = norm("norm_q")(x)
        read = asking if y is None else norm("norm_kv")(y)
        q, k, v = (
            Linear(width, dtype=self.dtype, name=role)(z).reshape(*z.shape[:2], self.heads, -1)
            for role, z in zip("qkv", (asking, read, read), strict=True)
        )
        z = attend(q.shape[-1] ** -0.5, True, q, k, v, (bias,), None)
        x = x + Linear(width, dtype=self.dtype, name="proj")(z).astype(jnp.float32)
        mlp = Mlp(self.mlp_ratio, dtype=self.dtype, name="mlp")
        return x + mlp(norm("norm_mlp")(x)).astype(jnp.float32)
