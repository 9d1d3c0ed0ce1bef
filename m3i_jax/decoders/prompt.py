"""MILAN's prompting decoder: the kept tokens are asked, and never change.

Hou et al. 2022, https://arxiv.org/abs/2208.06049; docs/methods.md#milan.
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax import masks
from m3i_jax.build import ConfigError
from m3i_jax.decoders.tokens import absolute, blocks, check_sizes, fill, mask_token, with_class
from m3i_jax.nn.choices import Core, Dtype, Remat
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.ranges import Depth, Head, Heads, Ratio, Width
from m3i_jax.types import Array, Features, Grid


class Prompt(nn.Module):
    """Mask tokens of the removed cells attend to the kept tokens and to each other.

    c = [W_in class; W_in tokens + PE],  q = blocks(mask token + PE; keys and values from [c; q]),
    y = W_out LN(c at kept cells, q at removed ones) + b. No norm stands between c and its keys, as
    in the official code, so c is the same for every block.

    Attributes:
      out: width of the result.
      width, depth, heads, mlp_ratio: of the blocks.
      class_token: predict that of the class token, too, in front of the cells (MILAN).
      dtype, scan, remat: see `blocks.stack`.  attention: its core, see `attend.CORES`.
    """

    out: Head
    width: Width = 512
    depth: Depth = 8
    heads: Heads = 16
    mlp_ratio: Ratio = 4.0
    class_token: bool = False
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("grid",)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_sizes("the prompt decoder", self)

    @nn.compact
    def __call__(
        self, x: Features, *, grid: Grid, train: bool = False
    ) -> Float[Array, "batch tokens dim"]:
        """Features with tokens (B, n, D) in cells `index` of the grid -> (B, h·w, out) float32.

        (B, 1 + h·w, out) with `class_token`. Where nothing was removed, there is nothing to ask,
        and every cell is read off directly.
        """
        if self.class_token and x.pooled is None:
            raise ConfigError("the prompt decoder has class_token, but its input has none")
        dtype, table = jnp.dtype(self.dtype), absolute(grid, self.width)
        batch, count, _ = x.tokens.shape
        index = jnp.arange(count)[None] if x.index is None else x.index
        index = jnp.broadcast_to(index, (batch, count))
        context, first = with_class(x.tokens, x.pooled)
        context = Linear(self.width, dtype=dtype, name="embed")(context).astype(jnp.float32)
        places = jnp.take(table, index, axis=0, mode="clip")
        context = context + jnp.pad(places, ((0, 0), (first, 0), (0, 0)))

        kept = fill(
            jnp.zeros((batch, len(table), 1), bool), index, jnp.ones((batch, count, 1), bool)
        )
        removed = masks.indices(~kept.reshape(batch, *grid), len(table) - count)
        queries = mask_token(self) + jnp.take(table, removed, axis=0, mode="clip")
        queries, _ = blocks(self, queries, context=context)

        y = jnp.zeros((batch, len(table), self.width), jnp.float32)
        y = fill(fill(y, index, context[:, first:]), removed, queries)
        y = jnp.concatenate([context[:, :1], y], axis=1) if self.class_token else y
        y = LayerNorm(dtype=dtype, name="norm")(y)
        return Linear(self.out, dtype=dtype, name="head")(y).astype(jnp.float32)
