"""Relative positions in the scores of attention.

A learned number per head for every offset between cells, BEiT's relative position bias; or products
of queries with a learned code of each offset along either axis, decomposed (MViTv2, ViTDet).
"""

import functools

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Int

from m3i_jax.build import ConfigError
from m3i_jax.nn.linear import einsum
from m3i_jax.nn.resample import resample
from m3i_jax.types import Array, Grid

MOST = 4096  # cells that are paired
CLASS_ROWS = 3  # class to patch, patch to class, class to class

# Codes of the offsets between rows, (2h-1, d), and between columns, (2w-1, d), of a map.
Offsets = tuple[Float[Array, "_rows dim"], Float[Array, "_columns dim"]]


class RelativeBias(nn.Module):
    """b_qk = table[row of q's cell - k's cell], added to the scores of attention.

    The parameter `table` ((2h-1)(2w-1) + 3, heads) starts at zero; the last 3 rows are for the
    class token, and are left out where there is none. For a grid of another size the table of
    offsets is resampled. Swin (Liu et al. 2021, Eq. 4, https://arxiv.org/abs/2103.14030); BEiT's
    code has the rows of the class token.

    Attributes:
      heads: of the attention.
      grid: that the table is made for.
      at: grid of the tokens; None = the same.
      class_token: whether there is one, in front of the patches.
    """

    heads: int
    grid: Grid
    at: Grid | None = None
    class_token: bool = True

    @nn.compact
    def __call__(
        self, cells: Int[Array, "batch tokens"] | None
    ) -> Float[Array, "#batch heads queries keys"]:
        """cells (B, n) int32, None = the whole grid -> (B or 1, heads, n', n') float32.

        n' counts the class token.
        """
        at = self.at or self.grid
        if at[0] * at[1] > MOST:
            raise ConfigError(
                f"a relative position bias of {at[0]}x{at[1]} cells has a number for every pair of "
                f"them; expected at most {MOST} cells"
            )
        shape = bias_rows(self.grid, class_token=self.class_token), self.heads
        table = self.param("table", nn.initializers.zeros, shape, jnp.float32)
        table = table if at == self.grid else self._moved(table, at)
        index = relative_index(at, class_token=self.class_token)
        if cells is None:
            return jnp.take(table, index, axis=0).transpose(2, 0, 1)[None]
        first = int(self.class_token)
        cells = jnp.pad(cells + first, ((0, 0), (first, 0)))
        index = jnp.asarray(index)[cells[:, :, None], cells[:, None, :]]
        return jnp.take(table, index, axis=0, mode="clip").transpose(0, 3, 1, 2)

    def _moved(self, table, at):
        """The table for grid `at`."""
        (h, w), (to_h, to_w) = self.grid, at
        offsets = (2 * h - 1) * (2 * w - 1)
        patches = table[:offsets].reshape(2 * h - 1, 2 * w - 1, self.heads)
        patches = resample(patches, (2 * to_h - 1, 2 * to_w - 1)).reshape(-1, self.heads)
        return jnp.concatenate([patches, table[offsets:]])


def bias_rows(grid: Grid, *, class_token: bool) -> int:
    """Rows of the table: (2h-1)(2w-1) offsets, and 3 for the class token."""
    h, w = grid
    return (2 * h - 1) * (2 * w - 1) + class_token * CLASS_ROWS


@functools.lru_cache(maxsize=16)
def relative_index(grid: Grid, *, class_token: bool) -> Int[np.ndarray, "tokens tokens"]:
    """Row of the table for every pair (query, key), (n, n) int32, class token first.

    The offset (Δr, Δc) = query - key has row (Δr + h-1)(2w-1) + Δc + w-1; the rows behind those
    are class to anything, patch to class, and class to class.
    """
    h, w = grid
    r, c = (x.reshape(-1) for x in np.mgrid[:h, :w].astype(np.int32))
    offset_r, offset_c = (x[:, None] - x[None, :] for x in (r, c))
    index = (offset_r + h - 1) * (2 * w - 1) + offset_c + w - 1
    if class_token:
        last = bias_rows(grid, class_token=True)
        index = np.pad(index, ((1, 0), (1, 0)))
        index[0, :], index[:, 0], index[0, 0] = last - 3, last - 2, last - 1
    return index.astype(np.int32)


def with_offsets(
    scale: float,
    q: Float[Array, "batch _windows tokens heads dim"],
    k: Float[Array, "batch _windows tokens heads dim"],
    offsets: Offsets,
    size: Grid,
) -> tuple[
    Float[Array, "batch _windows tokens heads _wide"],
    Float[Array, "batch _windows tokens heads _wide"],
]:
    """Queries and keys with more dimensions, whose products are the scores with relative positions.

        q'_i · k'_j = scale q_i · k_j + q_i · R_r[r_i − r_j] + q_i · R_c[c_i − c_j]

    A query has its products with the codes of all rows and all columns of the map behind it, a key
    a 1 for its own row and its own column: of the scores, h + w numbers for a query are made beside
    the product that they are, and no array as large as they are. MViTv2 (Li et al. 2022, §4.1,
    https://arxiv.org/abs/2112.01526), with the query not scaled, as ViTDet has it.

    Args:
      scale: of q k.
      q, k: (B, n, h·w, heads, d) of maps.
      offsets: R_r and R_c; row Δ + h − 1 is that of the offset Δ.
      size: (h, w).
    """
    cells = q.reshape(*q.shape[:2], *size, *q.shape[3:])
    codes = (
        jnp.take(table, np.arange(side)[:, None] - np.arange(side) + side - 1, axis=0)
        for table, side in zip(offsets, size, strict=True)
    )
    rows, columns = (x.astype(q.dtype) for x in codes)
    products = (
        einsum("bnyxhd,ykd->bnyxhk", cells, rows),
        einsum("bnyxhd,xkd->bnyxhk", cells, columns),
    )
    products = jnp.concatenate(products, axis=-1).reshape(*q.shape[:-1], sum(size))
    scaled = (q.astype(jnp.float32) * scale).astype(q.dtype)
    row, column = np.divmod(np.arange(size[0] * size[1]), size[1])
    own = np.concatenate([np.eye(size[0])[row], np.eye(size[1])[column]], axis=1)
    own = jnp.asarray(own, k.dtype)[None, None, :, None]
    own = jnp.broadcast_to(own, (*k.shape[:-1], own.shape[-1]))
    return (
        jnp.concatenate([scaled, products.astype(q.dtype)], axis=-1),
        jnp.concatenate([k, own], axis=-1),
    )


def of_side(table: Float[Array, "_rows dim"], side: int) -> Float[Array, "_offsets dim"]:
    """Codes of offsets (2s-1, d) for a map of another side, interpolated linearly, as ViTDet's."""
    rows = 2 * side - 1
    if len(table) == rows:
        return table
    weights = jnp.asarray(linear_weights(len(table), rows))
    return jnp.einsum("or,rd->od", weights, table, precision="highest")


def linear_weights(size: int, to: int) -> Float[np.ndarray, "to size"]:
    """(to, size) float32, rows sum to 1: samples at (i + ½) size/to - ½, clipped to the ends."""
    place = np.clip((np.arange(to) + 0.5) * size / to - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(size))).astype(np.float32)
