"""What is said of an image in its own pixels: a mask, a box, depth, key points, objects.

They are of the image as its file has it; where an EXIF tag turns that, they are turned with it.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.data.sources import sample_objects
from m3i_jax.data.sources.decoding import FORMATS
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.types import Array

MAX_POINTS = 10_000  # of one image
ORIENTATION = 0x0112  # the EXIF tag
# Tag -> whether rows become columns, and which of the new axes are then mirrored: rows, columns.
# https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, section 4.6.4, "Orientation"
TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class Annotations(NamedTuple):
    """Fields as of a `Sample`; None = the record does not say."""

    mask: Array | None = None
    box: Array | None = None
    depth: Array | None = None
    points: Array | None = None
    objects: SampleObjects | None = None


NONE = Annotations()


def fitted(said: Annotations, image: Array, *, encoded: bytes, turned: bool) -> Annotations:
    """The annotations of a decoded (H, W, 3) image.

    Args:
      encoded: its bytes.
      turned: whether decoding has turned it upright by its EXIF tag, as these then are.

    Raises:
      ValueError: they are no annotations of such an image.
    """
    if all(part is None for part in said):
        return NONE
    frame = image.shape[:2]
    turn = TURNS.get(_orientation(encoded)) if turned else None
    if turn is None:
        return checked(said, *frame)
    return _turned(checked(said, *(frame[::-1] if turn[0] else frame)), turn, frame)


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
    if said.objects is not None:
        sample_objects.checked(said.objects, height, width)
    return said


def _numbers(values: Array, shape: tuple[int, ...]) -> bool:
    return values.shape == shape and values.dtype == np.float32 and bool(np.isfinite(values).all())


def _orientation(encoded: bytes) -> int:
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        return image.getexif().get(ORIENTATION, 1)


def _turned(said: Annotations, turn: tuple, frame: tuple[int, int]) -> Annotations:
    """Of an image that has `frame`, (height, width), after it was turned."""
    box, points, objects = said.box, said.points, said.objects
    places = lambda at: _placed(at, np.zeros(2, np.float32), turn, frame)[0]  # noqa: E731
    plane = lambda values: _plane(values, turn)  # noqa: E731
    if box is not None:
        box = np.concatenate(_placed(box[:2], box[2:], turn, frame))
    if points is not None:
        points = np.concatenate([places(points[:, :2]), points[:, 2:]], axis=1)
    if objects is not None:
        objects = sample_objects.moved(objects, places, plane)
    return Annotations(plane(said.mask), box, plane(said.depth), points, objects)


def _plane(values: Array | None, turn: tuple) -> Array | None:
    """(H, W) values, turned."""
    if values is None:
        return None
    transposed, *mirrored = turn
    values = values.T if transposed else values
    return np.flip(values, [axis for axis in (0, 1) if mirrored[axis]])


def _placed(corner: Array, extent: Array, turn: tuple, frame: tuple) -> tuple[Array, Array]:
    """(..., 2) row and column of the upper left corner of what is so large, and how large it is."""
    transposed, *mirrored = turn
    if transposed:
        corner, extent = corner[..., ::-1], extent[..., ::-1]
    return np.where(mirrored, np.float32(frame) - extent - corner, corner), extent
