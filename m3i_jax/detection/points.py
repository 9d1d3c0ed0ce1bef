"""Maps at points: read between the centres of cells, and points drawn where a mask is in doubt.

Points are (row, column) as shares of the image: (0, 0) is its upper left corner and (1, 1) its
lower right one. Kirillov et al. 2020 (PointRend), section 3.2, https://arxiv.org/abs/1912.08193.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32, Int, Key, Shaped

from m3i_jax.types import Array

__all__ = [
    "BilinearCells",
    "DrawnPoints",
    "bilinear_cells",
    "most_uncertain",
    "point_sample",
    "point_sample_each",
    "random_points",
]


class DrawnPoints(NamedTuple):
    """Points of every output of a head, for all masks of an image alike.

    matching: (B, L, P, 2), at which masks are compared in order to match them.
    candidates: (B, L, M, 2), of which those enter the loss that are most in doubt.
    others: (B, L, R, 2), which all do.
    """

    matching: Float[Array, "batch outputs points 2"]
    candidates: Float[Array, "batch outputs _candidates 2"]
    others: Float[Array, "batch outputs _others 2"]


def random_points(
    key: Key[Array, ""],
    batch: int,
    outputs: int,
    *,
    points: int,
    oversampled: float,
    doubtful: float,
) -> DrawnPoints:
    """Uniform points for losses on `points` of them, ⌊doubtful · points⌋ of which are in doubt.

    Mask2Former (Cheng et al. 2022, section 3.2, https://arxiv.org/abs/2112.01527), which draws
    candidates for each mask by itself.

    Args:
      oversampled: candidates over `points`.
      doubtful: share of the points that are chosen among the candidates.
    """
    counts = points, round(points * oversampled), points - int(doubtful * points)
    keys = jax.random.split(key, len(counts))
    return DrawnPoints(
        *(
            jax.random.uniform(k, (batch, outputs, n, 2), jnp.float32)
            for k, n in zip(keys, counts, strict=True)
        )
    )


class BilinearCells(NamedTuple):
    """The four cells around points (..., P): their weights, 0 outside the map, and where they are.

    weights: (..., P, 4) float32.  cells: (..., P, 4) int32, row-major numbers of cells.
    """

    weights: Float[Array, "*positions 4"]
    cells: Int[Array, "*positions 4"]


def bilinear_cells(places: Float[Array, "*positions 2"], grid: tuple[int, int]) -> BilinearCells:
    """Bilinear weights of the cells around places (row, column) in cells, (0, 0) a centre."""
    low = jnp.floor(places)
    share = places - low
    low = low.astype(jnp.int32)
    weights, cells = [], []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = low[..., 0] + down, low[..., 1] + right
        inside = (row >= 0) & (row < grid[0]) & (column >= 0) & (column < grid[1])
        vertical = share[..., 0] if down else 1.0 - share[..., 0]
        across = share[..., 1] if right else 1.0 - share[..., 1]
        weights.append(jnp.where(inside, vertical * across, 0.0))
        cells.append(jnp.clip(row, 0, grid[0] - 1) * grid[1] + jnp.clip(column, 0, grid[1] - 1))
    return BilinearCells(jnp.stack(weights, -1), jnp.stack(cells, -1))


def point_sample(
    maps: Shaped[Array, "batch maps rows columns"], points: Float[Array, "batch points 2"]
) -> Float32[Array, "batch maps points"]:
    """All maps of an image at the same points, linear between cells and 0 outside.

    (B, M, h, w) of any dtype, (B, P, 2) -> (B, M, P): `grid_sample` of PyTorch without aligned
    corners.
    """
    grid = maps.shape[2:]
    around = bilinear_cells(_cells(points, grid), grid)
    # Rows of all maps at one cell are neighbours, so that a point is four reads for all of them.
    table = jnp.moveaxis(maps.reshape(*maps.shape[:2], -1), 1, 2)

    def read(number):
        rows = jnp.take_along_axis(table, around.cells[..., number, None], axis=1)
        return rows.astype(jnp.float32) * around.weights[..., number, None]

    return jnp.moveaxis(sum(read(number) for number in range(4)), 1, 2)


def point_sample_each(
    maps: Shaped[Array, "batch maps rows columns"], places: Float[Array, "batch maps points 2"]
) -> Float32[Array, "batch maps points"]:
    """Each map at places of its own, (row, column) in its cells; 0 outside.

    (B, M, h, w) of any dtype, (B, M, P, 2) -> (B, M, P).
    """
    around = bilinear_cells(places, maps.shape[2:])
    table = maps.reshape(*maps.shape[:2], -1)
    read = [jnp.take_along_axis(table, around.cells[..., i], axis=2) for i in range(4)]
    return sum(x.astype(jnp.float32) * around.weights[..., i] for i, x in enumerate(read))


def most_uncertain(
    logits: Float[Array, "*positions candidates"], count: int
) -> Int[Array, "*positions count"]:
    """Which `count` of the candidates are most in doubt, of the least |logit|."""
    return jax.lax.top_k(-jnp.abs(logits), count)[1]


def _cells(points, grid):
    """Shares of the image in cells of a map, whose first centre is (0, 0)."""
    size = jnp.asarray(grid, jnp.float32)
    return points.astype(jnp.float32) * size.reshape((1,) * (points.ndim - 1) + (2,)) - 0.5
