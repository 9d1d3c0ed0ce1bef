"""An image of a prepared copy: the bytes as they are, or resized and coded anew."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.data.sources.annotations import ORIENTATION
from m3i_jax.data.sources.decoding import FORMATS, decode_image
from m3i_jax.types import Array


class Made(NamedTuple):
    """The bytes of an image file, its (height, width), and whether they are those of the source."""

    data: bytes
    frame: tuple[int, int]
    copied: bool


def made(image: Array, file: bytes | None, *, size: int, quality: int) -> Made:
    """The file of an image whose short side is `size` pixels at most.

    A larger one is resized by Pillow's bicubic filter, which widens where it shrinks, and becomes
    a JPEG of that quality, colours at half the resolution. A smaller one keeps its bytes; one that
    has none, or whose bytes are turned or changed when they are read, becomes a PNG.

    Args:
      image: (H, W, 3) uint8.   file: the bytes that it was decoded from; None = there are none.
      size: 0 resizes nothing.
    """
    height, width = image.shape[:2]
    short = min(height, width)
    if size and short > size:
        frame = tuple(max(size, round(side * size / short)) for side in (height, width))
        small = Image.fromarray(image).resize(frame[::-1], Image.Resampling.BICUBIC)
        return Made(_coded(small, "JPEG", quality=quality), frame, False)
    if file is not None and _decodes_to(file, image):
        return Made(file, (height, width), True)
    return Made(_coded(Image.fromarray(image), "PNG"), (height, width), False)


def _coded(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _decodes_to(file: bytes, image: Array) -> bool:
    """Whether a plain reader makes this image of the bytes; asked of those that may be turned."""
    with Image.open(io.BytesIO(file), formats=FORMATS) as opened:
        if opened.size == image.shape[1::-1] and opened.getexif().get(ORIENTATION, 1) == 1:
            return True
    return np.array_equal(decode_image(file), image)
