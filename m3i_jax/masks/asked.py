"""Masks that draw blocks beside what is visible, which a decoder is asked for one by one."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Key

from m3i_jax.masks.cells import draw_lots, hide_lowest
from m3i_jax.masks.counts import count
from m3i_jax.types import Array, Grid

__all__ = [
    "asked_whole",
    "count_asked",
    "inverse_block",
    "most_of_block",
    "multiblock",
]

Draw = Callable[..., Bool[Array, "batch rows columns"]]


def multiblock(
    key: Key[Array, ""], batch: int, grid: Grid, hidden: float, *, blocks: int = 4
) -> tuple[Bool[Array, "{batch} rows columns"], Bool[Array, "{batch} {blocks} rows columns"]]:
    """I-JEPA's context, and blocks that are predicted from it, one by one.

    A block has a share of .15 to .2 of the cells and an aspect ratio of .75 to 1.5, by one number
    for all blocks of the batch; the context is a square of a share of .85 to 1, without the blocks,
    of which all but `count(hidden, grid)` cells are kept, at random. Places are uniform. Where the
    blocks leave fewer, it takes cells that no block has, and then cells of blocks, which lose them.
    Assran et al. 2023, §3 and appendix A, https://arxiv.org/abs/2301.08243, whose code cuts the
    context to that of the batch with the least: docs/methods.md#ijepa.
    """
    h, w = grid
    size, place, square, cut = jax.random.split(key, 4)
    sizes = jnp.asarray(_sizes(grid), jnp.int32)
    rows, columns = sizes[jax.random.randint(size, (), 0, len(sizes))]
    targets = _rectangle(place, (batch, blocks), grid, (rows, columns))
    key_side, key_corner = jax.random.split(square)
    share = jax.random.uniform(key_side, minval=0.85, maxval=1.0)
    side = jnp.round(jnp.sqrt(share * h * w)).astype(jnp.int32)
    context = _rectangle(key_corner, (batch,), grid, (jnp.minimum(side, h), jnp.minimum(side, w)))
    taken = targets.any(1)
    # The highest lots are kept: of the context (the highest bit), then of no block (the next).
    lots = draw_lots(cut, batch, h * w) & jnp.uint32(2**30 - 1)
    for bit, those in ((31, context & ~taken), (30, ~taken)):
        lots |= those.reshape(batch, -1).astype(jnp.uint32) << bit
    visible = hide_lowest(lots, count(hidden, grid)).reshape(batch, h, w)
    return visible, targets & ~visible[:, None]


def inverse_block(
    key: Key[Array, ""], batch: int, grid: Grid, hidden: float, *, asked: float
) -> tuple[Bool[Array, "{batch} rows columns"], Bool[Array, "{batch} 1 rows columns"]]:
    """One rectangle is visible, somewhere on a torus; of the hidden cells few are asked for.

    Its aspect ratio is log-uniform in .5 to 2, and its last row is not whole where the count,
    which is that of `count`, does not divide; `count_asked` of the hidden cells are drawn at
    random. CAPI (Darcet et al. 2025, §3, https://arxiv.org/abs/2502.08769).
    """
    h, w = grid
    left = h * w - count(hidden, grid)
    shape, place, ask = jax.random.split(key, 3)
    aspect = jnp.exp2(jax.random.uniform(shape, (batch,), minval=-1.0, maxval=1.0))
    sides = jnp.ceil(jnp.sqrt(left * aspect)).astype(jnp.int32)
    columns = -(-left // jnp.clip(sides, -(-left // w), h))[:, None, None]
    first = jax.random.randint(place, (2, batch), 0, jnp.array([[h], [w]]))[..., None]
    row, column = ((jnp.arange(n)[None] - f) % n for n, f in zip(grid, first, strict=True))
    number = row[:, :, None] * columns + column[:, None, :]  # in the rectangle, row by row
    visible = (column[:, None, :] < columns) & (number < left)
    lots = draw_lots(ask, batch, h * w)  # those of hidden cells lose their highest bit: the lowest
    lots = jnp.where(visible.reshape(batch, -1), lots, lots & jnp.uint32(2**31 - 1))
    blocks = ~hide_lowest(lots, count_asked(grid, hidden=hidden, asked=asked))
    return visible, blocks.reshape(batch, 1, h, w)


def asked_whole(
    key: Key[Array, ""], batch: int, grid: Grid, hidden: float, *, draw: Draw
) -> tuple[Bool[Array, "{batch} rows columns"], Bool[Array, "{batch} 1 rows columns"]]:
    """The mask that `draw` makes, and all that it hides as one block (docs/methods.md#cae)."""
    visible = draw(key, batch, grid, hidden)
    return visible, ~visible[:, None]


def count_asked(grid: Grid, *, hidden: float, asked: float) -> int:
    """Number of hidden cells that are asked for by `inverse_block`, rounded down, one at least."""
    return max(1, int(round(count(hidden, grid) * asked, 6)))


def most_of_block(grid: Grid) -> int:
    """The largest number of cells of a block of `multiblock`."""
    return int(_sizes(grid).prod(1).max())


def _sizes(grid: Grid) -> np.ndarray:
    """Rows and columns of the blocks of `multiblock`, (1025, 2), one for each number it draws."""
    cells, drawn = grid[0] * grid[1], np.linspace(0.0, 1.0, 1025)
    area, aspect = cells * (0.15 + 0.05 * drawn), 0.75 + 0.75 * drawn
    sides = np.round(np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], 1)).astype(int)
    return np.clip(sides, 1, grid)


def _rectangle(
    key: Key[Array, ""], shape: tuple[int, ...], grid: Grid, sides: tuple[Array, Array]
) -> Bool[Array, "*shape rows columns"]:
    """Rectangles of some sides anywhere on the grid."""

    def line(key, length, side):
        first = jax.random.randint(key, shape, 0, length - side + 1)[..., None]
        cell = jnp.arange(length, dtype=jnp.int32).reshape((1,) * len(shape) + (-1,))
        return (cell >= first) & (cell < first + side)

    down, across = (
        line(k, n, s) for k, n, s in zip(jax.random.split(key), grid, sides, strict=True)
    )
    return down[..., :, None] & across[..., None, :]
