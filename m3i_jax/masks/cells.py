"""Masks of single cells, or of squares of them, drawn without replacement."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key, UInt32

from m3i_jax.masks.counts import count, count_units, count_up, grid_of_units
from m3i_jax.types import Array, Grid

__all__ = [
    "everything",
    "random",
    "rows_alike",
    "units",
    "weighted",
]


def everything(
    key: Key[Array, ""], batch: int, grid: Grid, hidden: float
) -> Bool[Array, "{batch} rows columns"]:
    """Hides nothing, where a mask is asked for; `hidden` has to be 0 (docs/methods.md#masks)."""
    if count(hidden, grid):
        raise ValueError(f"masks.everything hides nothing, but hidden is {hidden}")
    return jnp.ones((batch, *grid), bool)


def random(
    key: Key[Array, ""], batch: int, grid: Grid, hidden: float
) -> Bool[Array, "{batch} rows columns"]:
    """Hides cells uniformly at random without replacement.

    MAE (He et al. 2022, §3, https://arxiv.org/abs/2111.06377).
    """
    lots = draw_lots(key, batch, grid[0] * grid[1])
    return hide_lowest(lots, count(hidden, grid)).reshape(batch, *grid)


def rows_alike(
    key: Key[Array, ""], batch: int, grid: Grid, hidden: float
) -> Bool[Array, "{batch} rows columns"]:
    """Hides `count_up(hidden, grid)` cells at random, the same of all images of the batch.

    MSN's code (Assran et al. 2022, https://arxiv.org/abs/2204.07141): docs/methods.md#msn.
    """
    mask = hide_lowest(draw_lots(key, 1, grid[0] * grid[1]), count_up(hidden, grid))
    return jnp.broadcast_to(mask.reshape(1, *grid), (batch, *grid))


def units(
    key: Key[Array, ""], batch: int, grid: Grid, hidden: float, *, unit: int
) -> Bool[Array, "{batch} rows columns"]:
    """Hides squares of unit x unit cells uniformly at random.

    Exactly `count_units(hidden, grid, unit)` cells are hidden, which rounds up. SimMIM's squares
    have 32 pixels: unit is 2 with patches of 16, 8 with patches of 4 (Xie et al. 2022, §3.2,
    https://arxiv.org/abs/2111.09886).
    """
    hide = count_units(hidden, grid, unit) // unit**2
    h, w = grid_of_units(grid, unit)
    coarse = hide_lowest(draw_lots(key, batch, h * w), hide).reshape(batch, h, w)
    return coarse.repeat(unit, axis=1).repeat(unit, axis=2)


def weighted(
    key: Key[Array, ""],
    batch: int,
    grid: Grid,
    hidden: float,
    scores: Float[Array, "{batch} rows columns"],
) -> Bool[Array, "{batch} rows columns"]:
    """Keeps cells drawn without replacement with probability ∝ score.

    The next cell to keep is drawn among those left with probability score/Σ scores until all but
    `count(hidden, grid)` are kept; cells of score 0 come last, uniformly. MILAN (Hou et al. 2022,
    https://arxiv.org/abs/2208.06049). Drawn at once: the largest ln score + Gumbel noise
    (Efraimidis & Spirakis 2006, https://doi.org/10.1016/j.ipl.2005.11.003).

    Args:
      scores: (B, h, w) ≥ 0 of any scale, the teacher's attention to each cell.
    """
    cells = grid[0] * grid[1]
    scores = jnp.asarray(scores, jnp.float32).reshape(batch, cells)
    # Below every positive float32 by more than noise can make up for.
    worth = jnp.where(scores > 0, jnp.log(jnp.where(scores > 0, scores, 1.0)), -1e3)
    order = jnp.argsort(worth + jax.random.gumbel(key, (batch, cells)), axis=1)
    # Ranks and not a threshold: the count is exact even where two sums are equal.
    rank = jnp.argsort(order, axis=1)
    return (rank >= count(hidden, grid)).reshape(batch, *grid)


def draw_lots(key: Key[Array, ""], batch: int, cells: int) -> UInt32[Array, "{batch} {cells}"]:
    """Random numbers of cells, no two alike in a mask, none below `cells`.

    The lowest bits hold the cell's number, which settles ties; 31 − ⌈log₂ cells⌉ bits are random,
    as many as float32 noise has on a 14x14 grid. Integers sort six times as fast on CPUs.
    """
    low = (cells - 1).bit_length()
    bits = jax.random.bits(key, (batch, cells), jnp.uint32) >> low << low
    return bits | jnp.uint32(1 << 31) | jnp.arange(cells, dtype=jnp.uint32)[None]


def hide_lowest(lots: UInt32[Array, "batch tokens"], hide: int) -> Bool[Array, "batch tokens"]:
    """Hides exactly the `hide` cells with the lowest lots: (B, n) -> (B, n) bool."""
    if hide == 0:
        return jnp.ones(lots.shape, bool)
    return lots > jnp.sort(lots, axis=1)[:, hide - 1 : hide]
