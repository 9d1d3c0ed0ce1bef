"""Files of dense tasks as archives have them: images, masks, depth."""

import json
import zipfile

import numpy as np
from PIL import Image

SIZE = (6, 8)


def image(path, seed=0, size=SIZE):
    """Writes random pixels; a JPEG's are not what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def plane(path, numbers, *, palette=False):
    """Writes (H, W) numbers as a PNG of one or two bytes a pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(numbers))
    if palette:
        picture = Image.fromarray(np.asarray(numbers), "P")
        picture.putpalette(list(range(256)) * 3)
    picture.save(path)


def mask(path, numbers=(0, 1, 2, 255), **how):
    """Writes a mask of stripes, and gives it."""
    stripes = np.resize(np.array(numbers, np.uint8), SIZE[1])
    stripes = np.tile(stripes, (SIZE[0], 1))
    plane(path, stripes, **how)
    return stripes


def written(path, content):
    """Writes JSON, or lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(content) if isinstance(content, list) else json.dumps(content)
    path.write_text(lines)
    return path


def zipped(folder, file):
    """A zip file of all in a folder."""
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return file
