"""An image with all that is said of it as bytes, which need no library to be read.

    bytes     4            4                 n                the rest
    what      M3I, 1       n, little-endian  JSON in UTF-8    the parts, one behind the other

The JSON: {"parts": [["image", 48213], ["mask", 812], …], "label": 7, "captions": [text, …],
"name": text, "box": [top, left, height, width], "points": [[row, column, visibility], …],
"depth": [H, W]}; only `parts` is always there. The parts and how many bytes each has:

    image   as its file has it: one of `decoding.FORMATS`
    mask    a PNG of one byte a pixel           depth   H * W float32, little-endian, row by row
    objects a text, see `object_json`
"""

import io
import json
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from m3i_jax import jsonfile
from m3i_jax.data.sources import object_json
from m3i_jax.data.sources.annotation_forms import png
from m3i_jax.data.sources.annotations import NONE, Annotations
from m3i_jax.data.sources.decoding import MAX_BYTES, MAX_PIXELS, bounded
from m3i_jax.types import Array

MAGIC = b"M3I\x01"  # the last byte is the version
HEAD = struct.Struct("<4sI")
MAX_HEADER = 2**20  # bytes of JSON
MAX_PART = {"image": MAX_BYTES, "mask": MAX_BYTES, "depth": 4 * MAX_PIXELS, "objects": 2**26}
KEYS = frozenset({"parts", "label", "captions", "name", "box", "points", "depth"})


class Record(NamedTuple):
    """An image before it is decoded, and what is said of it.

    image: the bytes of its file.   label: number of a class, -1 = none.   name: for reports.
    """

    image: bytes
    label: int = -1
    captions: tuple[str, ...] = ()
    name: str = ""
    annotations: Annotations = NONE


def encode(record: Record) -> bytes:
    """The bytes of a record; the same for the same record.

    Raises:
      ValueError: something of it is too large, or is not what a record has.
    """
    mask, box, depth, points, objects = record.annotations
    parts = {"image": bytes(record.image)}
    header: dict[str, Any] = {"parts": []}
    header |= {"label": int(record.label)} if record.label >= 0 else {}
    header |= {"captions": list(record.captions)} if record.captions else {}
    header |= {"name": record.name} if record.name else {}
    header |= {"box": np.asarray(box, float).tolist()} if box is not None else {}
    header |= {"points": np.asarray(points, float).tolist()} if points is not None else {}
    if mask is not None:
        parts["mask"] = _png(mask)
    if depth is not None:
        header["depth"] = list(depth.shape)
        parts["depth"] = np.ascontiguousarray(depth, "<f4").tobytes()
    if objects is not None:
        parts["objects"] = object_json.encode(objects)
    header["parts"] = [[name, len(part)] for name, part in parts.items()]
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    data = b"".join([HEAD.pack(MAGIC, len(text)), text, *parts.values()])
    decode(data)  # nothing is written that cannot be read
    return data


def decode(data: bytes, *, annotations: bool = True) -> Record:
    """The record that bytes stand for; whether its annotations fit the image, the caller asks.

    annotations: whether they are looked at.

    Raises:
      ValueError: they are no record of this version, or a damaged one.
    """
    header, start = _header(data)
    parts = {}
    for name, size in _parts(header, len(data) - start):
        parts[name] = data[start : start + size]
        start += size
    label, name = header.get("label", -1), header.get("name", "")
    if type(label) is not int or not -1 <= label < 2**31:
        raise ValueError(f"its label is {label!r}, expected the number of a class")
    if not isinstance(name, str):
        raise ValueError("its name is no text")
    said = _annotations(header, parts) if annotations else NONE
    return Record(parts["image"], label, _captions(header), name, said)


def captions(data: bytes) -> tuple[str, ...]:
    """The captions of a record alone.

    Raises:
      ValueError: as `decode` does.
    """
    return _captions(_header(data)[0])


def _png(mask: Array) -> bytes:
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"a mask is {mask.dtype} of {mask.shape}, expected (H, W) uint8")
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


def _header(data: bytes) -> tuple[Mapping[str, Any], int]:
    """The JSON of a record, and where its parts begin."""
    if len(data) < HEAD.size:
        raise ValueError(f"it ends after {len(data)} bytes")
    magic, size = HEAD.unpack_from(data)
    if magic[:3] != MAGIC[:3]:
        raise ValueError("it is no record that m3i wrote")
    if magic != MAGIC:
        raise ValueError(f"it is a record of version {magic[3]}, expected {MAGIC[3]}")
    if size > min(MAX_HEADER, len(data) - HEAD.size):
        raise ValueError(f"its header has {size} bytes, more than there are or may be")
    header = jsonfile.parse(data[HEAD.size : HEAD.size + size])
    if not isinstance(header, Mapping) or not header.keys() <= KEYS:
        raise ValueError("its header is not that of a record")
    return header, HEAD.size + size


def _parts(header: Mapping[str, Any], there: int) -> list[tuple[str, int]]:
    """The parts and their sizes, which are what is there."""
    match header.get("parts"):
        case [["image", _], *_] as pairs if all(map(_is_part, pairs)):
            names, sizes = zip(*pairs, strict=True)
        case _:
            raise ValueError("its header does not say where its image is")
    bounded(sizes[0])
    if len({*names}) < len(names) or sum(sizes) != there:
        raise ValueError(f"its parts have {sum(sizes)} bytes, but there are {there}")
    return list(zip(names, sizes, strict=True))


def _is_part(pair: Any) -> bool:
    match pair:
        case [str(name), int(size)]:
            return type(size) is int and 0 <= size <= MAX_PART.get(name, -1)
    return False


def _annotations(header: Mapping[str, Any], parts: Mapping[str, bytes]) -> Annotations:
    return Annotations(
        png(parts["mask"], ("L",)) if "mask" in parts else None,
        _numbers(header, "box"),
        _depth(parts["depth"], header.get("depth")) if "depth" in parts else None,
        _numbers(header, "points"),
        object_json.decode(parts["objects"]) if "objects" in parts else None,
    )


def _captions(header: Mapping[str, Any]) -> tuple[str, ...]:
    said = header.get("captions", [])
    if not isinstance(said, list) or not all(isinstance(text, str) for text in said):
        raise ValueError("its captions are no texts")
    return tuple(said)


def _numbers(header: Mapping[str, Any], key: str) -> Array | None:
    """A box or key points; their shapes are checked beside the image."""
    if header.get(key) is None:
        return None
    try:
        return np.asarray(header[key], np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"its {key} is not made of numbers") from error


def _depth(data: bytes, shape: Any) -> Array:
    match shape:
        case [int(height), int(width)] if min(height, width) > 0 and 4 * height * width == len(
            data
        ):
            return np.frombuffer(data, "<f4").astype(np.float32).reshape(height, width)
    raise ValueError(f"its depth has {len(data)} bytes, which {shape} floats have not")
