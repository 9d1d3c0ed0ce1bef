"""Prepared copies as a folder of images: SPLIT/CLASS/NUMBER.jpg, captions beside them.

What is said of their pixels is in `annotations/SPLIT/`, where no reader takes a mask for an image:

    NUMBER.mask.png   NUMBER.depth.npy   NUMBER.json: "box" and "points", see `annotation_forms`
    NUMBER.objects.json: see `object_json`
"""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from m3i_jax import ordinary
from m3i_jax.build import ConfigError
from m3i_jax.data.prepare.parts import Part
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.sources import object_json
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.decoding import FORMATS, SUFFIXES
from m3i_jax.data.sources.folder_names import is_system
from m3i_jax.data.sources.manifest import Stored
from m3i_jax.data.sources.protocol import listed
from m3i_jax.data.sources.split_words import is_piece, is_round, qualified, split_of

LONGEST = 200  # bytes of the name of a folder
ANNOTATIONS = "annotations"  # a folder beside those of the splits
_PARTING = "/\\\0\n\r"


def check(classes: Sequence[str]) -> None:
    """Refuses classes that no folder can be called after.

    Raises:
      ConfigError: naming some of them.
    """
    bad = [name for name in classes if not _is_name(name)]
    if bad:
        raise ConfigError(
            f"no folder of a class can be called {listed(bad)}; --format=array_record takes any"
        )


def write(folder: Path, part: Part, rows: Iterable[Row]) -> Stored:
    """Writes the images and captions of a part.

    Raises:
      OSError: they cannot be written, for one because the disk is full.
    """
    digest, size, count = hashlib.sha256(), 0, 0
    for place, row in enumerate(rows, part.first):
        count += row.record is not None
        for name, data in files(part, place, row):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                ordinary.written(path, data)
            except OSError as error:  # of a disk that is full, which does not say of which file
                path.unlink(missing_ok=True)
                raise OSError(error.errno, error.strerror, str(path)) from error
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
            size += len(data)
    return Stored(part.name, count, size, digest.hexdigest())


def files(part: Part, place: int, row: Row) -> list[tuple[str, bytes]]:
    """(path in the folder, bytes) of the files of a record, the image first; [] of a broken one.

    place: of the record in the order of the split, which is its name.
    """
    if row.record is None:
        return []
    label = row.record.label
    parents = [part.split] + ([part.source.classes[label]] if label >= 0 else [])
    stem = "/".join([*parents, f"{place:09d}"])
    image = [(stem + suffix(row.record.image), row.record.image)]
    texts = [(f"{stem}.txt", "".join(f"{x}\n" for x in row.record.captions).encode())]
    said = _said(row.record.annotations, f"{ANNOTATIONS}/{part.split}/{place:09d}")
    return image + texts * bool(row.record.captions) + said


def _said(of: Annotations, stem: str) -> list[tuple[str, bytes]]:
    """The files of annotations."""
    files = []
    if of.mask is not None:
        Image.fromarray(of.mask).save(content := io.BytesIO(), "PNG")
        files.append((f"{stem}.mask.png", content.getvalue()))
    if of.depth is not None:
        np.save(content := io.BytesIO(), of.depth)
        files.append((f"{stem}.depth.npy", content.getvalue()))
    if of.objects is not None:
        files.append((f"{stem}.objects.json", object_json.encode(of.objects)))
    named = {"box": of.box, "points": of.points}
    table = {name: values.tolist() for name, values in named.items() if values is not None}
    return files + [(f"{stem}.json", json.dumps(table).encode())] * bool(table)


def suffix(data: bytes) -> str:
    """Of a file of these bytes, such as ".jpg"."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return SUFFIXES[str(image.format)][0]


def _is_name(name: str) -> bool:
    """Whether a folder of images is read as a class of this name."""
    if not name or set(_PARTING) & {*name} or name != name.strip() or len(name.encode()) > LONGEST:
        return False
    meant = (is_system, split_of, is_piece, is_round, qualified)
    return not any(what(name) for what in meant)
