"""Masks of rectangular blocks, one over the other (BEiT), in all images alike much or not."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float32, Key

from m3i_jax.masks.cells import draw_lots, hide_lowest
from m3i_jax.masks.counts import count
from m3i_jax.types import Array, Grid

__all__ = [
    "blockwise",
    "uneven",
]

MIN_AREA = 16  # cells of the smallest block, as in BEiT's masking_generator.py
ASPECT = (0.3, 1 / 0.3)
TRIES = 10  # per block
# Blocks per mask. Half of a 14x14 grid takes 5 on average and never took more than 12 in 2000
# draws, 60 % of it 6 and 14, half of 32x32 8 and 17; what would be left is topped up cell by cell.
# A fixed number of steps rather than a test for the end costs accelerators no synchronisation.
BLOCKS = 24


def blockwise(
    key: Key[Array, ""], batch: int, grid: Grid, hidden: float, *, least: int = MIN_AREA
) -> Bool[Array, "{batch} rows columns"]:
    """Hides rectangular blocks until the count is exact.

    Block after block, up to 10 tries: area U(least, remaining), aspect log-uniform in [0.3, 1/0.3],
    sides strictly shorter than the grid's, uniform place; the first try that adds between 1 and
    `remaining` new cells is taken, and when none does, single cells drawn uniformly fill up the
    count. The smallest area is `least` cells, or an eighth of a grid if that is less: 16 would be
    most of a small one. In M3I the hidden blocks are what shows the second image. Bao et al. 2022,
    Algorithm 1, https://arxiv.org/abs/2106.08254, which may stop below the count; topped up as in
    SiameseIM's code (docs/methods.md#masks).
    """
    h, w = grid
    hide = count(hidden, grid)
    key_blocks, key_cells = jax.random.split(key)
    blocks = _blocks(key_blocks, jnp.full(batch, hide, jnp.float32), grid, least)
    cells = jnp.arange(h * w, dtype=jnp.uint32)[None]
    lots = jnp.where(blocks.reshape(batch, h * w), cells, draw_lots(key_cells, batch, h * w))
    return hide_lowest(lots, hide).reshape(batch, h, w)


def uneven(
    key: Key[Array, ""],
    batch: int,
    grid: Grid,
    hidden: float,
    *,
    spread: float = 0.2,
    least: int = MIN_AREA,
    strata: bool = False,
) -> Bool[Array, "{batch} rows columns"]:
    """Hides blocks, in half of the images none, in the others of a share U(hidden ± spread) each.

    The blocks are those of `blockwise`, not topped up. Counts differ, so that hidden cells cannot
    be dropped. iBOT (Zhou et al. 2022, §4.1, https://arxiv.org/abs/2111.07832).

    Args:
      least: area of the smallest block; DINOv2's is 4.
      strata: exactly half of the images, with one share in each of as many equal parts of the range
        (DINOv2, Oquab et al. 2024, https://arxiv.org/abs/2304.07193, its code).
    """
    key_which, key_share, key_blocks = jax.random.split(key, 3)
    share = jax.random.uniform(key_share, (batch,), jnp.float32)
    if strata:
        place = jax.random.permutation(key_which, batch)
        masked, share = place < batch // 2, (place.astype(jnp.float32) + share) / max(batch // 2, 1)
    else:
        masked = jax.random.bernoulli(key_which, 0.5, (batch,))
    share = hidden + spread * (2.0 * share - 1.0)
    return ~_blocks(key_blocks, jnp.where(masked, share, 0.0) * grid[0] * grid[1], grid, least)


def _blocks(
    key: Key[Array, ""], hide: Float32[Array, " batch"], grid: Grid, least: int
) -> Bool[Array, "batch rows columns"]:
    """Block after block, at most as many cells as `hide` says: (B,) -> (B, h, w), True = hidden."""
    batch = hide.shape[0]
    draws = jax.random.uniform(key, (BLOCKS, batch, TRIES, 4), jnp.float32)
    start = jnp.zeros((batch, *grid), bool), jnp.ones(batch, bool)
    (blocks, _), _ = jax.lax.scan(
        lambda state, draw: (_add(*state, draw, hide, least), None), start, draws
    )
    return blocks


def _add(
    blocks: Bool[Array, "batch rows columns"],
    going: Bool[Array, " batch"],
    draw: Float32[Array, "batch tries 4"],
    hide: Float32[Array, " batch"],
    least: int,
) -> tuple[Bool[Array, "batch rows columns"], Bool[Array, " batch"]]:
    """Adds one block to every mask that still takes any.

    The tries of a block do not depend on each other, so all are made at once and the first that
    fits is taken.

    Args:
      blocks: (B, h, w) bool, the cells hidden so far.  going: (B,) bool, masks not yet finished.
      draw: (B, TRIES, 4) uniform numbers for area, aspect, row and column.
      hide: (B,), number of cells to hide in all.  least: area of the smallest block.
    """
    _, h, w = blocks.shape
    free = (~blocks).astype(jnp.float32)
    remaining = (hide - blocks.sum((1, 2), dtype=jnp.float32))[:, None]
    rows, columns = _rectangles(draw, remaining, (h, w), least)
    # New cells of every try; sums of zeros and ones are exact in any precision.
    new = (jnp.matmul(rows, free) * columns).sum(-1)
    fits = (new > 0) & (new <= remaining) & going[:, None]
    first = jnp.where(fits, jax.nn.one_hot(jnp.argmax(fits, axis=1), TRIES), 0.0)
    # `first` is one try or none at all.
    side_h, side_w = (jnp.einsum("bt,btn->bn", first, side) > 0 for side in (rows, columns))
    return blocks | (side_h[:, :, None] & side_w[:, None]), going & fits.any(1)


def _rectangles(
    draw: Float32[Array, "batch tries 4"],
    remaining: Float32[Array, "batch 1"],
    grid: Grid,
    least: int,
) -> tuple[Float32[Array, "batch tries rows"], Float32[Array, "batch tries columns"]]:
    """Rows (B, TRIES, h) and columns (B, TRIES, w) of random rectangles, 0 or 1.

    A rectangle as long as the grid is refused: it covers no cell.
    """
    h, w = grid
    least = min(least, h * w / 8)
    low, high = math.log(ASPECT[0]), math.log(ASPECT[1])
    # Below the least area, U(min, remaining) lies between the two, as it does in BEiT.
    area = least + draw[..., 0] * (remaining - least)
    aspect = jnp.exp(low + draw[..., 1] * (high - low))
    sides = jnp.round(jnp.sqrt(area * aspect)), jnp.round(jnp.sqrt(area / aspect))
    allowed = (sides[0] < h) & (sides[1] < w)

    def line(side, place, length):
        start = jnp.floor(place * (length - side + 1.0))[..., None]
        cell = jnp.arange(length, dtype=jnp.float32)[None, None]
        return (cell >= start) & (cell < start + side[..., None])

    rows, columns = line(sides[0], draw[..., 2], h), line(sides[1], draw[..., 3], w)
    return (rows & allowed[..., None]).astype(jnp.float32), columns.astype(jnp.float32)
