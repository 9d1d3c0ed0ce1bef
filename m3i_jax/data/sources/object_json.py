"""The objects of an image as a JSON text, which needs no library to be read.

    {"corners": [[top, left, bottom, right], …], "categories": [0, …], "crowd": [0, …],
     "area": [pixels², …], "outlines": null or [one of each object, …]}

An outline is what `segmentation` is in COCO's files, polygons or runs, or null.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from m3i_jax import jsonfile
from m3i_jax.data.sources import outlines as forms
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.types import Array

KINDS = {"corners": np.float32, "categories": np.int32, "crowd": np.bool_, "area": np.float32}


def encode(objects: SampleObjects) -> bytes:
    """The text; the same for the same objects."""
    said: dict[str, Any] = {name: getattr(objects, name).tolist() for name in KINDS}
    said["crowd"] = [int(one) for one in said["crowd"]]
    said["outlines"] = objects.outlines and [
        None if one is None else forms.to_coco(one) for one in objects.outlines
    ]
    return json.dumps(said, separators=(",", ":"), allow_nan=False).encode()


def decode(data: bytes) -> SampleObjects:
    """The objects that a text says; whether they fit the image, the caller asks.

    Raises:
      ValueError: it says none.
    """
    said = jsonfile.parse(data)
    if not isinstance(said, Mapping) or said.keys() != {*KINDS, "outlines"}:
        raise ValueError("its objects are not what they are made of")
    columns = {name: _column(said[name], name) for name in KINDS}
    outlines = said["outlines"]
    if outlines is not None and not isinstance(outlines, list):
        raise ValueError("the outlines of its objects are no list")
    if outlines is not None:
        outlines = tuple(None if one is None else forms.of_coco(one) for one in outlines)
    return SampleObjects(**columns, outlines=outlines)


def _column(values: Any, name: str) -> Array:
    try:
        numbers = np.array(values, KINDS[name])
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{name} of its objects has other things than numbers") from error
    return numbers.reshape(-1, 4) if name == "corners" and not numbers.size else numbers
