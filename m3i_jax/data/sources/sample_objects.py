"""The objects of an image: boxes with categories, and where in the box each of them is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from m3i_jax.data.sources import outlines as forms
from m3i_jax.data.sources.outlines import Outline
from m3i_jax.types import Array

MAX_OBJECTS = 10_000  # of one image
EDGE = 0.01  # of a pixel, by which rounding may take a box out of its image
LEAST = 1e-3  # of a pixel: what is not as high and wide has no area


class SampleObjects(NamedTuple):
    """All n objects of an image, in pixels of it from the upper left corner.

    corners: (n, 4) float32 top, left, bottom, right.   categories: (n,) int32, from 0, numbers of
      the source's `object_names`.
    crowd: (n,) bool, whether it is a region of many objects that nobody has told apart.
    area: (n,) float32 pixels², of the outline; where there is none, of the box.
    outlines: n of them, any of which may be None; None = the data set has boxes alone.
    """

    corners: Array
    categories: Array
    crowd: Array
    area: Array
    outlines: tuple[Outline | None, ...] | None = None


def none() -> SampleObjects:
    """Those of an image that has none, as somebody has said."""
    empty = (np.zeros(0, kind) for kind in (np.int32, bool, np.float32))
    return SampleObjects(np.zeros((0, 4), np.float32), *empty)


def checked(objects: SampleObjects, height: int, width: int) -> SampleObjects:
    """The objects of an image of this size.

    Raises:
      ValueError: they are no objects of such an image; what is wrong, and with which.
    """
    _form(objects, (height, width))
    corners = objects.corners
    low, high = corners[:, :2], corners[:, 2:]
    inside = (low >= -EDGE) & (high <= np.float32([height, width]) + EDGE) & (high > low)
    if not inside.all():
        number = int(np.argmin(inside.all(1)))
        raise ValueError(
            f"the box of its object {number}, {corners[number].tolist()}, is none in an image of "
            f"{(height, width)}"
        )
    return objects


def inside(objects: SampleObjects, height: int, width: int) -> tuple[SampleObjects, str]:
    """Boxes cut off at the edges of an image, without those of which nothing is left; and how many
    these are, in words, "" = none.

    Raises:
      ValueError: they are no objects of an image of this size, wherever they are.
    """
    _form(objects, (height, width))
    corners = objects.corners.clip(0, np.float32([height, width] * 2))
    some = (corners[:, 2:] - corners[:, :2] >= LEAST).all(1)
    kept = chosen(objects._replace(corners=corners), np.flatnonzero(some))
    lost = int((~some).sum())
    return kept, f"{lost} objects that are not in the image, or have no area" if lost else ""


def chosen(objects: SampleObjects, numbers: Array) -> SampleObjects:
    """Those with these numbers, in their order."""
    said = objects.outlines
    outlines = None if said is None else tuple(said[n] for n in numbers.tolist())
    return SampleObjects(*(column[numbers] for column in objects[:4]), outlines)


def moved(
    objects: SampleObjects,
    places: Callable[[Array], Array],
    plane: Callable[[Array], Array],
    *,
    scale: float = 1.0,
) -> SampleObjects:
    """The objects of an image that was turned, mirrored or resized.

    Args:
      places: of (..., 2) rows and columns those in the new image.
      plane: of (H, W) pixels those of the new image.
      scale: how many times as many pixels² everything has.
    """
    ends = np.sort(places(objects.corners.reshape(-1, 2, 2)), axis=1)
    outlines = objects.outlines
    if outlines is not None:
        outlines = tuple(
            None if one is None else forms.moved(one, places, plane) for one in outlines
        )
    return objects._replace(
        corners=ends.reshape(-1, 4).astype(np.float32),
        area=objects.area * np.float32(scale),
        outlines=outlines,
    )


def _form(objects: SampleObjects, size: tuple[int, int]) -> None:
    """Refuses what has other shapes or kinds of numbers, or outlines of another image."""
    count = len(objects.corners)
    kinds = dict(corners=np.float32, categories=np.int32, crowd=np.bool_, area=np.float32)
    for name, kind in kinds.items():
        values = getattr(objects, name)
        if values.shape != ((count, 4) if name == "corners" else (count,)) or values.dtype != kind:
            raise ValueError(f"{name} of its {count} objects are {values.dtype} of {values.shape}")
    if count > MAX_OBJECTS:
        raise ValueError(f"it has {count} objects, at most {MAX_OBJECTS}")
    if not all(np.isfinite(x).all() for x in (objects.corners, objects.area)):
        raise ValueError("a box or an area of its objects is not finite")
    if (objects.categories < 0).any() or (objects.area < 0).any():
        raise ValueError("a category or an area of its objects is less than 0")
    if objects.outlines is None:
        return
    if len(objects.outlines) != count:
        raise ValueError(f"it has {count} objects and {len(objects.outlines)} outlines")
    for number, outline in enumerate(objects.outlines):
        if outline is not None and not forms.fits(outline, size):
            raise ValueError(f"the outline of its object {number} is none in an image of {size}")
