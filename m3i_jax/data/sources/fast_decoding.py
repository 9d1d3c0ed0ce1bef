"""JPEGs by libjpeg-turbo itself (simplejpeg), and smaller where an image is larger than is needed.

Of the whole size the pixels are Pillow's, whose decoder is the same library; half, a quarter and an
eighth come from fewer coefficients of each block (libjpeg's scaled transform), antialiased.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from m3i_jax.data.sources.decoding import (
    JPEG,
    MAX_PIXELS,
    MAX_SIDE,
    Decoder,
    bounded_scans,
    decode_image,
)

MODES = ("YCbCr", "Gray", "RGB")  # CMYK is left to Pillow
SMALLER = (8, 4, 2)
Reduction = Callable[[int, int], int]


def faster(decode: Decoder, reduction: Reduction) -> Decoder:
    """What does as `decode`, faster where that is `decode_image` as it is and meets a JPEG.

    What is not sound is left to `decode`: it refuses the same images in the same words.

    reduction: (height, width) -> 1, 2, 4 or 8, by which both are divided, rounded up.
    """
    own = isinstance(decode, functools.partial) and decode.func is decode_image
    if not own or decode.keywords.get("orientation"):  # the tag is read by Pillow
        return decode
    most = decode.keywords.get("max_pixels", MAX_PIXELS)
    library = simplejpeg()

    def read(data: bytes) -> np.ndarray:
        image = _jpeg(library, data, reduction, most) if data[:2] == JPEG else None
        return decode(data) if image is None else image

    return read


def simplejpeg() -> Any:
    """The library; an ImportError where it is not installed."""
    import simplejpeg as library

    return library


def _jpeg(library: Any, data: bytes, reduction: Reduction, most: int) -> np.ndarray | None:
    """The pixels of a sound JPEG of a bounded size, (H, W, 3) uint8; None of another."""
    try:
        bounded_scans(data)
        height, width, mode, _ = library.decode_jpeg_header(data)
        if mode not in MODES or height * width > most or max(height, width) > MAX_SIDE:
            return None
        by = reduction(height, width)
        least = dict(min_height=-(-height // by), min_width=-(-width // by)) if by > 1 else {}
        return library.decode_jpeg(data, "RGB", **least)
    except ValueError:  # also what is only a warning to others
        return None
