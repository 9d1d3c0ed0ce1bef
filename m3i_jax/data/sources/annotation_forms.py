"""Masks, boxes, depth and key points as files have them: which name says which, and in what order.

    mask          PNG of one byte a pixel, or (H, W) numbers
    box           top, left, height, width              bbox         COCO's left, top, width, height
    depth         PNG of one or two bytes a pixel, or (H, W) numbers
    points        (K, 3) row, column, visibility        keypoints    COCO's x, y, visibility

Key points may also be 3 K numbers in a row, as COCO has them.

https://cocodataset.org/#format-data
"""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.data.sources.decoding import MAX_BYTES, MAX_PIXELS, reason
from m3i_jax.types import Array

GREY = ("1", "L", "P")
DEEP = ("L", "I;16", "I")


class Form(NamedTuple):
    """Which field of `Annotations` a name stands for, and what makes an array of its values.

    plane: whether these are as many as the image has pixels, and may come as a PNG.
    """

    field: str
    read: Callable[[Any], Array | None]
    plane: bool = False


def mask(value: bytes | Any) -> Array:
    """(H, W) uint8 of a PNG, or of numbers.

    Raises:
      ValueError: they are others than 0 to 255, or no PNG of one byte a pixel.
    """
    numbers = png(value, GREY) if isinstance(value, bytes) else np.asarray(value)
    if numbers.dtype == bool or numbers.dtype == np.uint8:
        return numbers.astype(np.uint8)
    if (
        numbers.dtype.kind not in "iu"
        or numbers.size
        and not 0 <= numbers.min() <= numbers.max() < 256
    ):
        raise ValueError("its mask has other values than 0 to 255")
    return numbers.astype(np.uint8)


def depth(value: bytes | Any) -> Array:
    """(H, W) float32 of a PNG, whose numbers stay as they are, or of numbers.

    Raises:
      ValueError: it is no PNG of one or two bytes a pixel, or no numbers.
    """
    return _floats(png(value, DEEP) if isinstance(value, bytes) else value, "depth")


def box(value: Any) -> Array | None:
    """(4,) float32; None where all are NaN, as an array has it for an image without one.

    Raises:
      ValueError: they are no numbers.
    """
    numbers = _floats(value, "box")
    return None if numbers.size and np.isnan(numbers).all() else numbers


def coco_box(value: Any) -> Array | None:
    """`box`, of left, top, width and height."""
    numbers = box(value)
    return numbers[[1, 0, 3, 2]] if numbers is not None and numbers.shape == (4,) else numbers


def points(value: Any) -> Array:
    """(K, 3) float32, also of 3 K numbers in a row.

    Raises:
      ValueError: they are no numbers.
    """
    numbers = _floats(value, "key points")
    return numbers.reshape(-1, 3) if numbers.ndim == 1 and numbers.size % 3 == 0 else numbers


def coco_points(value: Any) -> Array:
    """`points`, of x, y and visibility."""
    numbers = points(value)
    return numbers[:, [1, 0, 2]] if numbers.shape[1:] == (3,) else numbers


FORMS = {
    "mask": Form("mask", mask, plane=True),
    "segmentation_mask": Form("mask", mask, plane=True),
    "annotation": Form("mask", mask, plane=True),
    "depth": Form("depth", depth, plane=True),
    "depth_map": Form("depth", depth, plane=True),
    "box": Form("box", box),
    "bbox": Form("box", coco_box),
    "points": Form("points", points),
    "keypoints": Form("points", coco_points),
}


def png(data: bytes, modes: tuple[str, ...]) -> Array:
    """(H, W) numbers of a PNG of one of Pillow's `modes`; of a palette, its places.

    Raises:
      ValueError: it is none, is damaged, or too large.
    """
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"{len(data)} bytes, more than {MAX_BYTES}")
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode not in modes or image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it is {image.mode} of {image.size}")
            return np.array(image)
    except Exception as error:  # Pillow alone raises six kinds for broken files
        raise ValueError(f"its mask or depth cannot be read: {reason(error)}") from error


def _floats(value: Any, what: str) -> Array:
    try:
        return np.asarray(value, np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"its {what} has other things than numbers") from error
