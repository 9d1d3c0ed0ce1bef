"""One object followed through frames: what a tracker says of every cell of where it looks.

SwinTrack: Lin et al. 2022, https://arxiv.org/abs/2112.00995; its constants are those of
https://github.com/LitingLin/SwinTrack.
"""

from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

from m3i_jax.ranges import Range
from m3i_jax.types import Array, Detections, Grid

__all__ = ["Tracked", "cell_boxes", "cells_inside", "hann_prior", "surest_box", "tracked_object"]

WINDOW = 0.49  # what the prior of where the object was counts beside what is seen


class Tracked(NamedTuple):
    """What a tracker says of every cell of the region that is searched, row-major.

    logits: (B, n), how sure it is that the object is there.
    corners: (B, n, 4), the box that each cell says, in pixels of the region.
    cells: (B, n, 4), the corners of the cells themselves.
    """

    logits: Float[Array, "batch tokens"]
    corners: Float[Array, "batch tokens 4"]
    cells: Float[Array, "batch tokens 4"]


def cell_boxes(grid: Grid, size: tuple[int, int]) -> Float32[np.ndarray, "tokens 4"]:
    """(n, 4) the corners of the cells of a region of this height and width in pixels, row-major."""
    rows, columns = (
        np.arange(count + 1) * (pixels / count) for count, pixels in zip(grid, size, strict=True)
    )
    top, left = np.meshgrid(rows[:-1], columns[:-1], indexing="ij")
    bottom, right = np.meshgrid(rows[1:], columns[1:], indexing="ij")
    return np.float32(np.stack([top, left, bottom, right], -1).reshape(-1, 4))


def cells_inside(
    cells: Float[Array, "batch tokens 4"], corners: Float[Array, "batch 4"]
) -> Bool[Array, "batch tokens"]:
    """(B, n) which cells (B, n, 4) an object (B, 4) is in.

    All from the cell that the upper left corner is in to that of the lower right one, both of them:
    a box that is smaller than a cell is in one at least.
    """
    corners = corners[:, None]
    return (cells[..., 2:] > corners[..., :2]).all(-1) & (cells[..., :2] <= corners[..., 2:]).all(
        -1
    )


def hann_prior(grid: Grid) -> Float32[np.ndarray, " tokens"]:
    """(n,) Hann's window over a region, 1 near the middle, where the object was a frame ago."""
    rows, columns = (np.hanning(count) for count in grid)
    return np.float32(np.outer(rows, columns).reshape(-1))


def surest_box(
    tracked: Tracked,
    grid: Grid,
    *,
    window: Annotated[float, Range(0, 1)] = WINDOW,
) -> tuple[Float[Array, "batch 4"], Float32[Array, " batch"], Int32[Array, " batch"]]:
    """The box of the surest cell, how sure it is, and which cell that is.

        argmax over cells of (1 − w) σ(logit) + w Hann

    window: w.
    """
    sure = 1 / (1 + jnp.exp(-tracked.logits))
    cell = ((1 - window) * sure + window * hann_prior(grid)[None]).argmax(-1)
    chosen = jnp.take_along_axis(tracked.corners, cell[:, None, None], axis=1)[:, 0]
    return chosen, jnp.take_along_axis(sure, cell[:, None], axis=1)[:, 0], cell.astype(jnp.int32)


def tracked_object(tracked: Tracked) -> Detections:
    """The box of the surest cell, without a prior, as the one object that is found."""
    sure = 1 / (1 + jnp.exp(-tracked.logits))
    cell = sure.argmax(-1)[:, None]
    corners = jnp.take_along_axis(tracked.corners, cell[..., None], axis=1)
    scores = jnp.take_along_axis(sure, cell, axis=1)
    return Detections(corners, scores, jnp.zeros_like(cell, jnp.int32))
