"""How many cells a mask hides, and which it leaves."""

import math

import jax.numpy as jnp
from jaxtyping import Bool, Int32

from m3i_jax.types import Array, Grid

__all__ = [
    "count",
    "count_units",
    "count_up",
    "indices",
]


def count(hidden: float, grid: Grid) -> int:
    """Number of hidden cells in every mask: round(hidden·h·w), halves to even.

    The product is first rounded to six digits, so that 0.35·90 is 31.5 and not 31.499….

    Raises:
      ValueError: `hidden` is not a share.
    """
    if not 0.0 <= hidden <= 1.0:
        raise ValueError(f"the hidden share of a mask is between 0 and 1, not {hidden}")
    return round(round(hidden * grid[0] * grid[1], 6))


def count_up(hidden: float, grid: Grid) -> int:
    """Number of hidden cells in every mask of `rows_alike`: ⌈hidden·h·w⌉, the rest is rounded down.

    The product is rounded to six digits first, as in `count`.

    Raises:
      ValueError: `hidden` is not a share.
    """
    count(hidden, grid)  # refuses what is not a share
    return math.ceil(round(hidden * grid[0] * grid[1], 6))


def count_units(hidden: float, grid: Grid, unit: int) -> int:
    """Number of hidden cells in every mask of `units`: unit²·⌈hidden·N⌉ for N units in the grid.

    The product is rounded to six digits first, as in `count`.

    Raises:
      ValueError: `hidden` is not a share, or units do not divide the grid.
    """
    count(hidden, grid)  # refuses what is not a share
    h, w = grid_of_units(grid, unit)
    return math.ceil(round(hidden * h * w, 6)) * unit**2


def indices(
    visible: Bool[Array, "batch rows columns"], count: int
) -> Int32[Array, "batch {count}"]:
    """Cells of a mask that are visible: (B, h, w) -> (B, count) int32, row-major and ascending.

    `count` is static and equals the number of visible cells; were there fewer, the rest is h·w,
    which is no cell, and gathers NaN by default.
    """
    cells = visible.shape[1] * visible.shape[2]
    numbers = jnp.arange(cells, dtype=jnp.int32)[None]
    flat = visible.reshape(visible.shape[0], cells)
    return jnp.sort(jnp.where(flat, numbers, cells), axis=1)[:, :count]


def grid_of_units(grid: Grid, unit: int) -> Grid:
    """The grid of units.

    Raises:
      ValueError: units do not divide the grid of cells.
    """
    h, w = grid
    if unit < 1 or h % unit or w % unit:
        raise ValueError(f"units of {unit}x{unit} cells do not divide a grid of {h}x{w}")
    return h // unit, w // unit
