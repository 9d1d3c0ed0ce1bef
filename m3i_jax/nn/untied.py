"""Biases of attention by where the tokens of several maps are, which all layers share."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float, Int

from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.types import Array, Grid

SMALL = nn.initializers.truncated_normal(0.02)


class UntiedPositions(nn.Module):
    """b_qk = (W_Q p_q)·(W_K p_k) / √d + t[map of q, map of k, Δrow, Δcolumn], for each head.

    Places are learnt apart from what is there (TUPE: Ke et al. 2021, Eq. 7,
    https://arxiv.org/abs/2006.15595): p is LN(r_row + c_column) with vectors of each map's own; t
    is a table of distances for each pair of maps. As SwinTrack has it (Lin et al. 2022, §3.2,
    https://arxiv.org/abs/2112.00995).

    Attributes:
      width: of the vectors.   heads: of the attention.   dtype: of the products.
    """

    width: int
    heads: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, grids: Sequence[Grid], *, asking: Sequence[int] | None = None
    ) -> Float[Array, "1 heads queries keys"]:
        """(1, heads, q, k) float32, of the tokens of all maps, one map after the other.

        grids: rows and columns of each map.
        asking: which of the maps have the queries; None = all.
        """
        asking = range(len(grids)) if asking is None else asking
        places = [self._placed(number, grid) for number, grid in enumerate(grids)]
        of = lambda role, number: self._projected(role, number, places[number])  # noqa: E731
        keys = jnp.concatenate([of("k", number) for number in range(len(grids))])
        queries = jnp.concatenate([of("q", number) for number in asking])
        scale = (self.width // self.heads) ** -0.5
        content = jnp.einsum("qhd,khd->hqk", queries * scale, keys)
        rows = [
            jnp.concatenate([self._distance(i, j, grids) for j in range(len(grids))], axis=2)
            for i in asking
        ]
        return (content + jnp.concatenate(rows, axis=1))[None]

    def _placed(self, number: int, grid: Grid) -> Float[Array, "tokens dim"]:
        """The vectors of the places of a map, normed."""
        rows, columns = (
            self.param(f"{axis}_{number}", SMALL, (count, self.width), jnp.float32)
            for axis, count in zip(("rows", "columns"), grid, strict=True)
        )
        places = (rows[:, None] + columns[None]).reshape(-1, self.width)
        return LayerNorm(dtype=self.dtype, name=f"norm_{number}")(places)

    def _projected(self, role: str, number: int, places) -> Float[Array, "tokens heads dim"]:
        y = Linear(self.width, dtype=self.dtype, name=f"{role}_{number}")(places)
        return y.reshape(len(places), self.heads, -1).astype(jnp.float32)

    def _distance(self, i: int, j: int, grids: Sequence[Grid]) -> Float[Array, "heads _q _k"]:
        """What the table of a pair of maps says, (heads, q, k)."""
        one, other = grids[i], grids[j]
        count = (one[0] + other[0] - 1) * (one[1] + other[1] - 1)
        table = self.param(f"distance_{i}_{j}", SMALL, (self.heads, count), jnp.float32)
        return table[:, distances(one, other)]


def distances(one: Grid, other: Grid) -> Int[np.ndarray, "queries keys"]:
    """(q, k) a number for each distance in rows and columns of a cell of `one` from one of `other`.

    From 0; cells are counted from the upper left of each grid.
    """
    rows, columns = (
        np.arange(a)[:, None] - np.arange(b)[None] + b - 1 for a, b in zip(one, other, strict=True)
    )
    wide = one[1] + other[1] - 1
    index = rows[:, None, :, None] * wide + columns[None, :, None, :]
    return index.reshape(one[0] * one[1], other[0] * other[1])
