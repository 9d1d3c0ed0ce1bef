"""Masks over grids of tokens: (B, h, w) bool, True = visible.

Every mask of a batch has the same number of hidden cells, `count(hidden, grid)` (`rows_alike` has
`count_up`, `units` has `count_units`), so that shapes stay static and losses need no ragged
averages, but for those of `uneven`; and but for `rows_alike` every image has a mask of its own.
Masks depend on the key alone, never on the number of devices. All functions can be jitted with
everything but the key (and scores) static.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Key, UInt32

from m3i_jax.types import Array, Grid

MIN_AREA = 16  # cells of the smallest block, as in BEiT's masking_generator.py
ASPECT = (0.3, 1 / 0.3)
TRIES = 10  # per block
# Blocks per mask. Half of a 14x14 grid takes 5 on average and never took more than 12 in 2000
# draws, 60 % of it 6 and 14, half of 32x32 8 and 17; what would be left is topped up cell by cell.
# A fixed number of steps rather than a test for the end costs accelerators no synchronisation.
BLOCKS = 24
Draw = Callable[..., Bool[Array, "batch rows columns"]]


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
    h, w = _coarse(grid, unit)
    return math.ceil(round(hidden * h * w, 6)) * unit**2


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
    lots = _lots(key, batch, grid[0] * grid[1])
    return _hide_lowest(lots, count(hidden, grid)).reshape(batch, *grid)


def rows_alike(
    key: Key[Array, ""], batch: int, grid: Grid, hidden: float
) -> Bool[Array, "{batch} rows columns"]:
    """Hides `count_up(hidden, grid)` cells at random, the same of all images of the batch.

    MSN's code (Assran et al. 2022, https://arxiv.org/abs/2204.07141): docs/methods.md#msn.
    """
    mask = _hide_lowest(_lots(key, 1, grid[0] * grid[1]), count_up(hidden, grid))
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
    h, w = _coarse(grid, unit)
    coarse = _hide_lowest(_lots(key, batch, h * w), hide).reshape(batch, h, w)
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
    lots = jnp.where(blocks.reshape(batch, h * w), cells, _lots(key_cells, batch, h * w))
    return _hide_lowest(lots, hide).reshape(batch, h, w)


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
    lots = _lots(cut, batch, h * w) & jnp.uint32(2**30 - 1)
    for bit, those in ((31, context & ~taken), (30, ~taken)):
        lots |= those.reshape(batch, -1).astype(jnp.uint32) << bit
    visible = _hide_lowest(lots, count(hidden, grid)).reshape(batch, h, w)
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
    lots = _lots(ask, batch, h * w)  # those of hidden cells lose their highest bit: the lowest
    lots = jnp.where(visible.reshape(batch, -1), lots, lots & jnp.uint32(2**31 - 1))
    blocks = ~_hide_lowest(lots, count_asked(grid, hidden=hidden, asked=asked))
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


def _coarse(grid: Grid, unit: int) -> Grid:
    """The grid of units; refuses units that do not divide the grid of cells."""
    h, w = grid
    if unit < 1 or h % unit or w % unit:
        raise ValueError(f"units of {unit}x{unit} cells do not divide a grid of {h}x{w}")
    return h // unit, w // unit


def _lots(key: Key[Array, ""], batch: int, cells: int) -> UInt32[Array, "{batch} {cells}"]:
    """Random numbers of cells, no two alike in a mask, none below `cells`.

    The lowest bits hold the cell's number, which settles ties; 31 − ⌈log₂ cells⌉ bits are random,
    as many as float32 noise has on a 14x14 grid. Integers sort six times as fast on CPUs.
    """
    low = (cells - 1).bit_length()
    bits = jax.random.bits(key, (batch, cells), jnp.uint32) >> low << low
    return bits | jnp.uint32(1 << 31) | jnp.arange(cells, dtype=jnp.uint32)[None]


def _hide_lowest(lots: UInt32[Array, "batch tokens"], hide: int) -> Bool[Array, "batch tokens"]:
    """Hides exactly the `hide` cells with the lowest lots: (B, n) -> (B, n) bool."""
    if hide == 0:
        return jnp.ones(lots.shape, bool)
    return lots > jnp.sort(lots, axis=1)[:, hide - 1 : hide]


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
