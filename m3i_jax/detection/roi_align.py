"""ROIAlign: what maps show inside boxes, each as a small grid, as two products of matrices.

Mask R-CNN (He et al. 2017, §3, https://arxiv.org/abs/1703.06870), in the aligned form of detectron2
and torchvision (https://github.com/pytorch/vision): a box is divided into out x out bins of which
each is the mean of ⌈bin⌉ x ⌈bin⌉ evenly spaced samples of the map, linear between centres of cells.
Samples of an axis do not know those of the other, so for each box

    pooled = R · map · Cᵀ        R (out, H), C (out, W): the mean weight of each cell in each bin

and gradients reach the maps through the same products. A bin of more than a cell has samples that
are more than half a cell apart, so at most four of them touch a cell: R needs no list of samples,
however large a box is. Of a large map most boxes touch few cells: they are read from a window that
has all of these, at a small part of the cost.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int32

from m3i_jax.detection.boxes import area
from m3i_jax.ranges import Positive
from m3i_jax.types import Array, Grid

__all__ = ["level_of", "roi_aligned", "roi_aligned_by_level"]

# What half-way products of the boxes of one image may take: more boxes are read one part after the
# other.
BYTES = 2**26
# Sides of windows, in cells. Boxes of a level but the last have √area < 28 cells by the usual rule.
WINDOW = 32


class _Reading(NamedTuple):
    """Boxes are read from map number `level`, of this stride, all of it or a window."""

    level: int
    stride: float
    windowed: bool


def roi_aligned(
    maps: Float[Array, "batch height width channels"],
    corners: Float[Array, "batch boxes 4"],
    *,
    size: Grid,
    stride: Positive = 1.0,
) -> Float32[Array, "batch boxes _rows _columns channels"]:
    """Each box of an image as a grid of its map; (B, H, W, C), (B, R, 4) -> (B, R, *size, C).

    A sample more than a cell beyond the centres of the outermost cells is 0, one that is less far
    is the edge; a box without height or width is 0. Boxes have no gradient.

    Args:
      corners: in pixels of the image.
      size: (rows, columns) of the grid, 7 x 7 of boxes and 14 x 14 of masks in Mask R-CNN.
      stride: pixels of a cell of the map.
    """
    level = jnp.zeros(corners.shape[:-1], jnp.int32)
    return _by_parts([maps], corners, level, size, (stride,))


def roi_aligned_by_level(
    maps: Sequence[Float[Array, "batch _height _width channels"]],
    corners: Float[Array, "batch boxes 4"],
    *,
    size: Grid,
    strides: Sequence[Positive] = (4.0, 8.0, 16.0, 32.0),
    side: Positive = 224.0,
    at: Positive = 16.0,
) -> Float32[Array, "batch boxes _rows _columns channels"]:
    """`roi_aligned`, of each box on the map of its size: `level_of`; -> (B, R, *size, C).

    Args:
      maps: one of each stride, finest first.
      strides, side, at: as of `level_of`.

    Raises:
      ValueError: there are not as many maps as strides.
    """
    if len(maps) != len(strides):
        raise ValueError(f"{len(maps)} maps have {len(strides)} strides; expected one of each")
    level = level_of(corners, strides=strides, side=side, at=at)
    return _by_parts(maps, corners, level, size, strides)


def level_of(
    corners: Float[Array, "*positions 4"],
    *,
    strides: Sequence[Positive] = (4.0, 8.0, 16.0, 32.0),
    side: Positive = 224.0,
    at: Positive = 16.0,
) -> Int32[Array, "*positions"]:
    """Which map a box is read from, the number of its stride; (..., 4) -> (...).

        the largest stride s with √area ≥ side · s/at, or the first

    With the defaults this is ⌊4 + log2(√area/224)⌋, clipped to the levels 2 to 5 (FPN, Lin et al.
    2017, Eq. 1, https://arxiv.org/abs/1612.03144), without the rounding of a logarithm.

    Args:
      strides: pixels of a cell of each map, ascending.
      side: of a box, in pixels, that is read at the stride `at`.

    Raises:
      ValueError: strides do not ascend.
    """
    if any(a >= b for a, b in zip(strides, strides[1:], strict=False)):
        raise ValueError(f"strides of maps are {tuple(strides)}, expected the finest first")
    size = area(corners)
    reached = [(size >= (side * s / at) ** 2).astype(jnp.int32) for s in strides[1:]]
    return sum(reached, jnp.zeros(size.shape, jnp.int32))


def tents(
    start: Float[Array, "*positions"],
    extent: Float[Array, "*positions"],
    *,
    bins: int,
    cells: int,
    margin: float = 1.0,
    window: Int32[Array, "*positions"] | None = None,
    total: int | None = None,
) -> Float32[Array, "*positions {bins} {cells}"]:
    """One axis of ROIAlign: how much each cell counts in each bin; (...) -> (..., bins, cells).

    Args:
      start: where the box begins, in cells; the centre of the first one is 0.
      extent: how long it is, in cells; 0 or less has no bins, and all is 0.
      margin: a sample that is farther than that from the centre of the last cell is 0; at most 1.
      window: number of the first of these cells, of `total`; None = they are all there are.
    """
    total = cells if total is None else total
    start, extent = (jnp.asarray(x, jnp.float32)[..., None, None] for x in (start, extent))
    length = extent / bins
    count = jnp.maximum(jnp.ceil(length), 0.0)
    step = jnp.where(count > 0, length, 1.0) / jnp.maximum(count, 1.0)
    ones = (1,) * (start.ndim - 2)
    number = jnp.arange(bins, dtype=jnp.float32).reshape(*ones, bins, 1)
    cell = jnp.arange(cells, dtype=jnp.float32).reshape(*ones, 1, cells)
    if window is not None:
        cell = cell + window[..., None, None].astype(jnp.float32)
    first = start + number * length + step / 2
    # The first sample that may touch a cell; one more to either side for what is rounded.
    least = jnp.ceil((cell - 1.0 - first) / jnp.maximum(step, 1e-6)) - 1.0
    least = jnp.maximum(least, 0.0)
    weight = jnp.zeros(least.shape, jnp.float32)
    for k in range(6):
        at = first + (least + k) * step
        real = (least + k < count) & (at >= -margin) & (at <= total - 1 + margin)
        near = 1.0 - jnp.abs(jnp.clip(at, 0.0, total - 1) - cell)
        weight += jnp.where(real, jnp.maximum(near, 0.0), 0.0)
    return weight / jnp.maximum(count, 1.0)


def pooled(
    maps: Float[Array, "batch height width channels"],
    down: Float[Array, "batch boxes rows height"],
    across: Float[Array, "batch boxes columns width"],
) -> Float32[Array, "batch boxes rows columns channels"]:
    """down · map · acrossᵀ of each box of an image; -> (B, R, rows, columns, C)."""
    maps = jnp.asarray(maps, jnp.float32)
    rows = jnp.einsum("brih,bhwc->briwc", down, maps, precision="highest")
    return jnp.einsum("brjw,briwc->brijc", across, rows, precision="highest")


def _by_parts(
    maps: Sequence[Float[Array, "batch _height _width channels"]],
    corners: Float[Array, "batch boxes 4"],
    level: Int32[Array, "batch boxes"],
    size: Grid,
    strides: Sequence[float],
) -> Float32[Array, "batch boxes _rows _columns channels"]:
    """Boxes in the order of how they are read, as many at a time as `BYTES` allows."""
    corners = jax.lax.stop_gradient(jnp.asarray(corners, jnp.float32))
    readings, own = _readings(maps, corners, level, strides)
    count = corners.shape[1]
    per_box = 4 * size[0] * max(m.shape[2] * m.shape[3] for m in maps)
    part = min(max(BYTES // per_box, 1), count)
    if part == count:
        return _read(maps, corners, own, size, readings)
    # So that most parts are read in one way, and no time is taken by the others.
    order = jnp.argsort(own, axis=-1, stable=True)
    missing = -count % part

    def split(x):
        x = jnp.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * (x.ndim - 2), mode="edge")
        return jnp.moveaxis(x.reshape(len(x), -1, part, *x.shape[2:]), 1, 0)

    parts = jnp.take_along_axis(corners, order[..., None], 1), jnp.take_along_axis(own, order, 1)
    # What is half-way is computed again in the backward pass: kept, it would be that of all parts.
    read = jax.checkpoint(lambda part: _read(maps, *part, size, readings))
    grids = jnp.moveaxis(jax.lax.map(read, tuple(map(split, parts))), 0, 1)
    grids = grids.reshape(len(corners), -1, *grids.shape[3:])
    back = jnp.argsort(order, axis=-1)
    return jnp.take_along_axis(grids, back[..., None, None, None], 1)


def _readings(
    maps: Sequence[Float[Array, "batch _height _width channels"]],
    corners: Float32[Array, "batch boxes 4"],
    level: Int32[Array, "batch boxes"],
    strides: Sequence[float],
) -> tuple[list[_Reading], Int32[Array, "batch boxes"]]:
    """Ways to read boxes, and the number of that of each box."""
    readings, own = [], jnp.zeros(level.shape, jnp.int32)
    for i, (one, stride) in enumerate(zip(maps, strides, strict=True)):
        mine = level == i
        # Maps that are not much larger are read as fast by products that all boxes share.
        if min(one.shape[1:3]) >= WINDOW and one.shape[1] * one.shape[2] >= 8 * WINDOW**2:
            low, high = _touched(corners, one.shape[1:3], stride)
            small = (high - low < WINDOW).all(-1)
            own = jnp.where(mine & small, len(readings), own)
            mine &= ~small
            readings.append(_Reading(i, stride, windowed=True))
        own = jnp.where(mine, len(readings), own)
        readings.append(_Reading(i, stride, windowed=False))
    return readings, own


def _read(
    maps: Sequence[Float[Array, "batch _height _width channels"]],
    corners: Float32[Array, "batch boxes 4"],
    own: Int32[Array, "batch boxes"],
    size: Grid,
    readings: Sequence[_Reading],
) -> Float32[Array, "batch boxes _rows _columns channels"]:
    """Each box in its own way; one in which none is read takes no time."""
    if len(readings) == 1:
        return _grids(maps[0], corners, size, readings[0])
    shape = (*corners.shape[:2], *size, maps[0].shape[-1])
    total = jnp.zeros(shape, jnp.float32)
    for number, reading in enumerate(readings):
        mine = own == number
        total += jax.lax.cond(
            mine.any(),
            functools.partial(_grids, size=size, reading=reading),
            lambda *_: jnp.zeros(shape, jnp.float32),
            maps[reading.level],
            jnp.where(mine[..., None], corners, 0.0),  # a box of nothing has a grid of 0
        )
    return total


def _grids(
    maps: Float[Array, "batch height width channels"],
    corners: Float32[Array, "batch boxes 4"],
    size: Grid,
    reading: _Reading,
) -> Float32[Array, "batch boxes _rows _columns channels"]:
    """All boxes from one map, in one way."""
    cells, stride = maps.shape[1:3], reading.stride
    begin = corners[..., :2] / stride - 0.5
    extent = (corners[..., 2:] - corners[..., :2]) / stride
    if not reading.windowed:
        axes = (tents(begin[..., i], extent[..., i], bins=size[i], cells=cells[i]) for i in (0, 1))
        return pooled(maps, *axes)
    low, _ = _touched(corners, cells, stride)
    low = jnp.minimum(low, np.int32([[cells]]) - WINDOW)
    down, across = (
        tents(
            begin[..., i],
            extent[..., i],
            bins=size[i],
            cells=WINDOW,
            window=low[..., i],
            total=cells[i],
        )
        for i in (0, 1)
    )
    shape = (WINDOW, WINDOW, maps.shape[-1])
    cut = lambda one, at: jax.lax.dynamic_slice(one, (*at, 0), shape)  # noqa: E731
    windows = jax.vmap(jax.vmap(cut, (None, 0)))(jnp.asarray(maps, jnp.float32), low)
    rows = jnp.einsum("brih,brhwc->briwc", down, windows, precision="highest")
    return jnp.einsum("brjw,briwc->brijc", across, rows, precision="highest")


def _touched(
    corners: Float32[Array, "batch boxes 4"], cells: Grid, stride: float
) -> tuple[Int32[Array, "batch boxes 2"], Int32[Array, "batch boxes 2"]]:
    """Row and column of the first and the last cell that samples of a box may touch."""
    last = np.float32([[cells]]) - 1
    low = jnp.floor(corners[..., :2] / stride - 0.5).clip(0, last)
    high = jnp.ceil(corners[..., 2:] / stride - 0.5).clip(0, last)
    return low.astype(jnp.int32), high.astype(jnp.int32)
