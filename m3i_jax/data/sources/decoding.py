"""Encoded images to pixels. Nothing is believed but the content: format, size and colour mode are
read from the header, and what is no image, or too large, is refused before anything is allocated.
"""

import functools
import io
import re
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 64_000_000
MAX_SIDE = 65_500  # the largest JPEG; longer ones are attacks
MAX_BYTES = 256 * 2**20

Decoder = Callable[[bytes], np.ndarray]


def decoder(decode: Decoder | None, *, orientation: bool, max_pixels: int) -> Decoder:
    """`decode`, or where it is None `decode_image` with these settings."""
    return decode or functools.partial(decode_image, orientation=orientation, max_pixels=max_pixels)


def unreadable(what: str, error: Exception) -> ValueError:
    """What is wrong with a record, by its name; Pillow alone raises six kinds for broken files."""
    return ValueError(f"cannot read '{what}': {reason(error)}")


def bounded(size: int) -> int:
    """A number of bytes that an image may have.

    Raises:
      ValueError: it is larger, or nothing.
    """
    if not 0 < size <= MAX_BYTES:
        raise ValueError(f"{size} bytes, more than {MAX_BYTES}" if size else "the file is empty")
    return size


def reason(error: Exception) -> str:
    """What a decoder has met, in words for the user."""
    if isinstance(error, UnidentifiedImageError):  # its own words show our buffer
        return f"its content is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    kind = "" if type(error) in (ValueError, OSError) else f"{type(error).__name__}: "
    return kind + re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>", "the file", str(error))


def decode_image(
    data: bytes, *, orientation: bool = False, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes JPEG, PNG, WebP, GIF (first frame) or BMP bytes to (H, W, 3) uint8.

    Grey, palette and CMYK images become RGB, 16-bit ones keep their upper byte, alpha is dropped:
    what torchvision's loader does, but for 16 bits, which that clips to white.

    Raises:
      ValueError, OSError, SyntaxError: not an image of these formats, broken, or too large.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:  # reads the header only
        width, height = image.size
        if width * height > max_pixels or max(width, height) > MAX_SIDE:
            raise ValueError(f"{width} x {height} pixels, more than {max_pixels} or {MAX_SIDE}")
        image.load()
        if orientation:
            image = ImageOps.exif_transpose(image)
        if image.mode == "I" or image.mode.startswith("I;16"):
            grey = (np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.asarray(image.convert("RGB"))
