"""Anchors: boxes of a few sizes and ratios at every cell of maps, which proposals start from.

Faster R-CNN (Ren et al. 2015, https://arxiv.org/abs/1506.01497), one size for each level of a
pyramid (FPN, Lin et al. 2017, https://arxiv.org/abs/1612.03144).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from m3i_jax.ranges import Count, Positive
from m3i_jax.types import Grid

__all__ = ["anchor_boxes"]


def anchor_boxes(
    grids: Sequence[Grid],
    *,
    strides: Sequence[Count] = (4, 8, 16, 32, 64),
    sizes: Sequence[Sequence[Positive]] = ((32,), (64,), (128,), (256,), (512,)),
    ratios: Sequence[Positive] = (0.5, 1.0, 2.0),
) -> tuple[Float32[np.ndarray, "_boxes 4"], ...]:
    """Corners of the anchors of each level, (h·w·A, 4) top, left, bottom, right in pixels.

        width = size/√ratio     height = size·√ratio     centre = (row, column)·stride

    Cells are in row-major order, in each its A = sizes·ratios anchors, ratios running fastest, and
    no anchor is clipped to the image: those of detectron2 with offset 0
    (https://github.com/facebookresearch/detectron2).

    Args:
      grids: (rows, columns) of the maps, finest first.
      strides: pixels of a cell, one of each level.
      sizes: of each level, the side of its square anchors in pixels, one or several.
      ratios: height over width.

    Raises:
      ValueError: there are not as many strides, or sizes, as levels.
    """
    if not len(grids) == len(strides) == len(sizes):
        raise ValueError(
            f"anchors of {len(grids)} maps have {len(strides)} strides and {len(sizes)} sizes; "
            "expected one of each for every map"
        )
    return tuple(_level(*level, ratios) for level in zip(grids, strides, sizes, strict=True))


def _level(
    grid: Grid, stride: int, sizes: Sequence[float], ratios: Sequence[float]
) -> Float32[np.ndarray, "_boxes 4"]:
    """The anchors of one map."""
    shapes = [(size * ratio**0.5, size / ratio**0.5) for size in sizes for ratio in ratios]
    half = np.array(shapes)[None, None] / 2
    rows, columns = (np.arange(n) * stride for n in grid)
    centre = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)[:, :, None]
    return np.concatenate([centre - half, centre + half], -1).reshape(-1, 4).astype(np.float32)
