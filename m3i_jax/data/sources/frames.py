"""Files that hold several images, frames or pages, of which the first is read."""

import io

from PIL import Image

from m3i_jax.data.sources.decoding import FORMATS, SUFFIXES

SEVERAL = tuple(name for name in ("GIF", "TIFF", "WEBP", "AVIF") if name in FORMATS)
NAMES = tuple(suffix for name in SEVERAL for suffix in SUFFIXES[name])


def may(name: str) -> bool:
    """Whether a file of this name may hold several."""
    return name.lower().endswith(NAMES)


def several(data: bytes) -> bool:
    """Whether an encoded image has frames or pages behind the first; no pixel is decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=SEVERAL) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001, whatever Pillow raises: another format, or a broken file
        return False
