"""What is said of an image in its own pixels: a mask, a box, depth, key points."""

from typing import NamedTuple

import numpy as np

from m3i_jax.types import Array

MAX_POINTS = 10_000  # of one image


class Annotations(NamedTuple):
    """What a record says of its image beside label and captions; None = it does not.

    mask: (H, W) uint8 categories, 0 = background, c + 1 = class c.
    box: (4,) float32 top, left, height, width in pixels.
    depth: (H, W) float32, in whatever unit the data set has it; not finite, or 0: not measured.
    points: (K, 3) float32 row, column, visibility: 0 = not labelled, 1 = hidden, 2 = visible.
    """

    mask: Array | None = None
    box: Array | None = None
    depth: Array | None = None
    points: Array | None = None


def checked(said: Annotations, height: int, width: int) -> Annotations:
    """The annotations of an image of this size.

    Raises:
      ValueError: they are no annotations of such an image.
    """
    for name, kind in (("mask", np.uint8), ("depth", np.float32)):
        plane = getattr(said, name)
        if plane is not None and (plane.shape != (height, width) or plane.dtype != kind):
            raise ValueError(
                f"its {name} is {plane.dtype} of {plane.shape}, and the image of {(height, width)}"
            )
    if (box := said.box) is not None and not (_numbers(box, (4,)) and (box[2:] > 0).all()):
        raise ValueError("its box is not top, left, height and width")
    if (points := said.points) is not None:
        if not _numbers(points, (len(points), 3)) or len(points) > MAX_POINTS:
            raise ValueError("its key points are not rows, columns and visibilities")
        if not np.isin(points[:, 2], (0, 1, 2)).all():
            raise ValueError("the visibility of one of its key points is not 0, 1 or 2")
    return said


def _numbers(values: Array, shape: tuple[int, ...]) -> bool:
    return values.shape == shape and values.dtype == np.float32 and bool(np.isfinite(values).all())
