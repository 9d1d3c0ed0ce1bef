"""Pictures as part of the page: data URIs of bounded size."""

import base64
import functools
import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError, features

from m3i_jax import jsonfile
from m3i_jax.analysis.report.markup import Markup

FINE, COARSE = 84, 60  # qualities of what loses something
SHRINKS = 6  # times that a picture is made smaller at most
SIDE = 1600  # pixels; no screen shows more of one picture
FILE = 64 << 20  # bytes of a file that is read
PIXELS = 64 << 20  # of a picture that is decoded


def png(image: UInt8[np.ndarray, "height width 3"]) -> Markup:
    """A small picture, each pixel as it is."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return _uri("png", buffer.getvalue())


def file(path: Path, *, most: int) -> tuple[Markup, tuple[int, int]]:
    """A picture file within `most` bytes, and its (width, height): as it is, or coded anew.

    Raises:
      ValueError: it is no picture that can be read; the message says why.
    """
    try:
        stamp = path.stat()
        return _file(path, most, stamp.st_mtime_ns, stamp.st_size)
    except (OSError, UnidentifiedImageError, SyntaxError, MemoryError) as error:
        raise ValueError(getattr(error, "strerror", None) or "it is no picture") from error


@functools.lru_cache(maxsize=64)  # a page that is written anew shows mostly the same ones
def _file(path: Path, most: int, changed: int, size: int) -> tuple[Markup, tuple[int, int]]:
    content = jsonfile.content(path, size=FILE)
    with Image.open(io.BytesIO(content)) as opened:
        if opened.width * opened.height > PIXELS:
            raise ValueError("it has too many pixels")
        kind, picture = opened.format, opened.convert("RGB")
    if kind == "PNG" and len(content) <= most and max(picture.size) <= SIDE:
        return _uri("png", content), picture.size
    picture.thumbnail((SIDE, SIDE))
    shown = picture.size
    return _within(picture, most), shown


def _within(picture: Image.Image, most: int) -> Markup:
    """The picture at a quality that fits, and smaller where none does."""
    kind = "webp" if features.check("webp") else "jpeg"
    content = _coded(picture, kind, FINE)
    for _ in range(SHRINKS):
        if len(content) <= most:
            break
        content = _coded(picture, kind, COARSE)
        share = 0.94 * (most / len(content)) ** 0.5  # bytes grow with the pixels
        picture = picture.resize([max(1, round(min(1, share) * side)) for side in picture.size])
    return _uri(kind, content)


def _coded(picture: Image.Image, kind: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, quality=quality)
    return buffer.getvalue()


def _uri(kind: str, content: bytes) -> Markup:
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")
