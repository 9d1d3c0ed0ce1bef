"""CAE's decoder: latents of hidden patches read each other at their places.

Chen et al. 2022, https://arxiv.org/abs/2202.03026; docs/methods.md#cae.
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Int

from m3i_jax.decoders.tokens import absolute, blocks, check_sizes
from m3i_jax.nn.choices import Core, Dtype, Remat
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.ranges import Depth, Head, Heads, Ratio, Width
from m3i_jax.types import Array, Features, Grid


class Latent(nn.Module):
    """y = W_out LN(blocks(W_in z + PE of its cell)) + b, of the tokens that are given alone.

    Attributes:
      out: width of the result.
      width, depth, heads, mlp_ratio: of the blocks.
      dtype, scan, remat: see `blocks.stack`.  attention: its core, see `attend.CORES`.
    """

    out: Head
    width: Width = 768
    depth: Depth = 4
    heads: Heads = 12
    mlp_ratio: Ratio = 4.0
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("grid", "cells")

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_sizes("the latent decoder", self)

    @nn.compact
    def __call__(
        self,
        x: Features,
        *,
        grid: Grid,
        cells: Int[Array, "batch tokens"] | None = None,
        train: bool = False,
    ) -> Float[Array, "batch tokens dim"]:
        """Features with tokens (B, m, D) in cells `index` of the grid -> (B, m, out) float32.

        cells: those of the tokens, for which alone it can answer.
        """
        dtype, table = jnp.dtype(self.dtype), absolute(grid, self.width)
        places = table[None] if x.index is None else jnp.take(table, x.index, axis=0, mode="clip")
        y = Linear(self.width, dtype=dtype, name="embed")(x.tokens).astype(jnp.float32)
        y, _ = blocks(self, y + places)
        y = LayerNorm(dtype=dtype, name="norm")(y)
        return Linear(self.out, dtype=dtype, name="head")(y).astype(jnp.float32)
