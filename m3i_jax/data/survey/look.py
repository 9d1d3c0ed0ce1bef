"""One record looked at: whether it can be read, and what its image and its file are."""

import hashlib
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.data.sources import frames
from m3i_jax.data.sources.decoding import FORMATS
from m3i_jax.data.sources.gone import Gone
from m3i_jax.data.sources.protocol import Source

PIXELS = "pixels"  # the format of images that lie nowhere encoded
DIGEST = 16  # bytes


class Look(NamedTuple):
    """What is known of a record.

    broken: why it cannot be read; "" = it can, and only then is the rest said.
    label: -1 = none.   height, width: in pixels.   format: JPEG, ...   mode: of colours, as Pillow
    calls it.   size: bytes of the file, or of the pixels.   digest: of the pixels.
    captions: one by one.   left_out: what of it could not be read.   several: whether its file has
    frames behind the one that is read.
    """

    index: int
    broken: str = ""
    label: int = -1
    height: int = 0
    width: int = 0
    format: str = PIXELS
    mode: str = "RGB"
    size: int = 0
    digest: bytes = bytes(DIGEST)
    captions: tuple[str, ...] = ()
    left_out: str = ""
    several: bool = False


def look(source: Source, index: int) -> Look:
    """Reads and decodes a record, which may be broken in any way; safe from several threads.

    Raises:
      MemoryError, Gone: which say something of the machine or of all records, not of this one.
    """
    try:
        sample = source[index]
        file = source.encoded(index) if hasattr(source, "encoded") else None
        format, mode = (PIXELS, "RGB") if file is None else _header(file)
    except (MemoryError, Gone):
        raise
    except Exception as error:  # noqa: BLE001, whatever a disk or a decoder raises
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return Look(index, broken=f"{kind}{error}")
    image = np.ascontiguousarray(sample.image)
    height, width = image.shape[:2]
    digest = hashlib.blake2b(f"{height}x{width} ".encode(), digest_size=DIGEST)
    digest.update(image)
    size = image.nbytes if file is None else len(file)
    said = dict(captions=sample.captions, left_out=sample.left_out, digest=digest.digest())
    said["several"] = file is not None and frames.several(file)
    return Look(index, "", int(sample.label), height, width, format, mode, size, **said)


def _header(data: bytes) -> tuple[str, str]:
    """Format and colour mode of an encoded image; no pixel is decoded."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return str(image.format), image.mode
