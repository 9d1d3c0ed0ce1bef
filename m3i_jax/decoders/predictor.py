"""A narrow transformer that is asked for some cells: I-JEPA's predictor."""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from m3i_jax import masks
from m3i_jax.build import ConfigError
from m3i_jax.decoders.prototypes import Prototypes
from m3i_jax.decoders.tokens import absolute, blocks, check_sizes, mask_token, with_class
from m3i_jax.nn.blocks import check_choice
from m3i_jax.nn.choices import Core, Dtype, Remat, WeightInit
from m3i_jax.nn.initial import INITS
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.ranges import Depth, Head, Heads, Ratio, Width
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Features, Grid

# What is read: of the context and the queries, which of them are read, and who changes.
READS = ("all", "both", "context")
HEADS = ("linear", "prototypes", "none")


class Predictor(nn.Module):
    """Mask tokens at the cells that are asked for, beside or in front of the tokens that are given.

    y = W_out LN(blocks([c; q])) + b at q,  c = W_in tokens + PE,  q = mask token + PE of the cells.
    Assran et al. 2023, §3, https://arxiv.org/abs/2301.08243; docs/methods.md#ijepa.

    Attributes:
      out: width of the result.
      width, depth, heads, mlp_ratio: of the blocks.
      reads: "all", c and q are tokens of one sequence; "both", q reads c and q, and c stays as it
        is; or "context", q reads c alone (CAPI).
      norm_in: a layer norm in front of W_in.
      head: "linear", W_out and b; "prototypes", cosines with learned directions (`Prototypes`); or
        "none", the norm alone, of a width of `out`.
      embed: W_in; False passes tokens that have the width already.
      missing: a feature head that makes the cells that its input lacks (CAE's regressor); they are
        not asked for, then.
      weight_init: of the blocks, see `ViT`.
      dtype, scan, remat: see `blocks.stack`.  attention: its core, see `attend.CORES`.
    """

    out: Head
    width: Width = 384
    depth: Depth = 6
    heads: Heads = 12
    mlp_ratio: Ratio = 4.0
    reads: Annotated[str, OneOf(*READS)] = "all"
    norm_in: bool = False
    head: Annotated[str, OneOf(*HEADS)] = "linear"
    embed: bool = True
    missing: bool = False
    weight_init: WeightInit = "mae"
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("grid", "cells")

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_sizes("the predictor", self)
        check_choice("the predictor", "reads", self.reads, READS)
        check_choice("the predictor", "head", self.head, HEADS)
        if self.head == "none" and self.out != self.width:
            raise ConfigError(
                f"the predictor has no head, so its width, {self.width}, is to be that of what it "
                f"predicts, {self.out}"
            )
        check_choice("the predictor", "weight_init", self.weight_init, INITS)

    @nn.compact
    def __call__(
        self,
        x: Features,
        *,
        grid: Grid,
        cells: Int[Array, "batch queries"] | None = None,
        train: bool = False,
    ) -> Features | Float[Array, "batch queries dim"]:
        """Predicts some cells.

        Args:
          x: tokens (B, n, D) in cells `index` of `grid`; pooled (B, D), the class token, is given,
            too.
          grid: of the tokens.
          cells: (B, m) int32; what is h·w or more is no cell, and has no influence on the others;
            None = all of the grid.
          train: unused.

        Returns:
          (B, m, out) float32; as Features in their cells, where these are `missing`.
        """
        dtype, table = jnp.dtype(self.dtype), absolute(grid, self.width)
        batch = x.tokens.shape[0]
        if cells is None:
            cells = self._cells(x, batch, grid)
        tokens, first = with_class(x.tokens, x.pooled)
        tokens = LayerNorm(dtype=dtype, name="norm_in")(tokens) if self.norm_in else tokens
        if self.embed:
            tokens = Linear(self.width, dtype=dtype, name="embed")(tokens)
        context = tokens.astype(jnp.float32)
        places = table[None] if x.index is None else jnp.take(table, x.index, axis=0, mode="clip")
        context = context + jnp.pad(places, ((0, 0), (first, 0), (0, 0)))
        queries = mask_token(self) + jnp.take(table, cells, axis=0, mode="clip")
        y, count = self._blocks(context, queries, cells < len(table)), cells.shape[1]
        y = LayerNorm(dtype=dtype, name="norm")(y[:, -count:])
        y = self._head(y, dtype)
        return Features(tokens=y, index=cells) if self.missing else y

    def _head(self, y, dtype):
        """What is predicted of queries behind the last norm, (B, m, out) float32."""
        if self.head == "none":
            return y.astype(jnp.float32)
        if self.head == "prototypes":
            of = dict(pool="none", lengths=True, dtype=self.dtype, name="prototypes")
            return Prototypes(self.out, **of)(Features(tokens=y))
        return Linear(self.out, dtype=dtype, name="head")(y).astype(jnp.float32)

    def _cells(self, x: Features, batch: int, grid: Grid) -> Int[Array, "{batch} queries"]:
        """All cells; or those that x lacks, in ascending order."""
        count = grid[0] * grid[1]
        every = jnp.broadcast_to(jnp.arange(count, dtype=jnp.int32)[None], (batch, count))
        if not self.missing or x.index is None:
            return every
        there = (every[:, :, None] == x.index[:, None]).any(-1)
        return masks.indices(~there.reshape(batch, *grid), count - x.index.shape[1])

    def _blocks(
        self,
        context: Float[Array, "batch tokens dim"],
        queries: Float[Array, "batch queries dim"],
        real: Bool[Array, "batch queries"],
    ) -> Float[Array, "batch _rows dim"]:
        """What becomes of the queries, behind the context where that is in the sequence, too."""
        given = jnp.ones(context.shape[:2], bool)
        read = real if self.reads != "context" else jnp.zeros_like(real)
        options = dict(
            mask=jnp.concatenate([given, read], 1)[:, None, None],
            kernel_init=INITS[self.weight_init],
        )
        if self.reads == "all":
            return blocks(self, jnp.concatenate([context, queries], 1), **options)[0]
        return blocks(self, queries, context=context, **options)[0]
