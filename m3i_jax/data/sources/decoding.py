"""Encoded images to pixels. Nothing is believed but the content: format, size and colour mode are
read from the header, and what is no image, or too large, is refused before anything is allocated.
"""

import functools
import io
import re
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

# Suffixes of the formats that this Pillow reads; AVIF since 11.3, where libavif is in it.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    **({"AVIF": (".avif",)} if "avif" in features.modules and features.check("avif") else {}),
}
FORMATS = (*SUFFIXES,)
MAX_PIXELS = 64_000_000
MAX_SIDE = 65_500  # the largest JPEG; longer ones are attacks
MAX_BYTES = 256 * 2**20
JPEG = b"\xff\xd8"  # what one begins with
MAX_SCANS = 100  # of a JPEG; libjpeg's own progressive ones have ten
MAX_SEGMENTS = 2000  # in front of its first scan; profiles and notes have up to 255 of a kind each

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


def bounded_scans(data: bytes) -> None:
    """Refuses a JPEG that takes far longer than its pixels do: each scan goes over all of them,
    however few bytes it has. ITU-T T.81, B.1, https://www.w3.org/Graphics/JPEG/itu-t81.pdf.

    Raises:
      ValueError: it has more than `MAX_SCANS`, or more than `MAX_SEGMENTS` in front of them.
    """
    if data[:2] != JPEG:
        return
    place = 2
    for _ in range(MAX_SEGMENTS):
        mark = data[place : place + 2]
        if mark[:1] != b"\xff" or mark[1:] == b"\xda":
            break
        size = int.from_bytes(data[place + 2 : place + 4], "big")
        place += 1 if mark[1:] == b"\xff" else 2 + size  # one may be filled up with more of them
    else:
        raise ValueError(f"more than {MAX_SEGMENTS} segments in front of its first scan")
    # Among the values of a scan there is a zero behind each 255.
    if (scans := data.count(b"\xff\xda", place)) > MAX_SCANS:
        raise ValueError(f"{scans} scans, more than {MAX_SCANS}")


def reason(error: Exception) -> str:
    """What a decoder has met, in words for the user."""
    if isinstance(error, UnidentifiedImageError):  # its own words show our buffer
        return f"its content is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    kind = "" if type(error) in (ValueError, OSError) else f"{type(error).__name__}: "
    return kind + re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>", "the file", str(error))


def decode_image(
    data: bytes, *, orientation: bool = False, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF bytes (the first frame) to (H, W, 3) uint8.

    Grey, palette and CMYK images become RGB, 16-bit ones keep their upper byte, alpha is dropped:
    what torchvision's loader does, but for 16 bits, which that clips to white.

    Raises:
      ValueError, OSError, SyntaxError: not an image of these formats, broken, or too large.
    """
    bounded_scans(data)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:  # reads the header only
        width, height = image.size
        if width * height > max_pixels or max(width, height) > MAX_SIDE:
            raise ValueError(f"{width} x {height} pixels, more than {max_pixels} or {MAX_SIDE}")
        if image.mode == "F":
            raise ValueError("its pixels are floating-point numbers, whose white no file says")
        image.load()
        return pixels(ImageOps.exif_transpose(image) if orientation else image)


def pixels(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 of an image of Pillow's in any mode, see `decode_image`."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))
