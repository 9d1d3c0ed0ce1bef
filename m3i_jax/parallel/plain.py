"""What processes tell each other, as bytes of which nothing but data can come.

A line of JSON that says how the values are nested, and behind it the numbers of all arrays and all
bytes, one after the other. Records are made again of the class of that name which this process has
loaded; so whoever speaks instead of a process can have no code run, as by a pickle.
"""

import json
import math
import sys
from typing import Any

import numpy as np

NUMBERS = "biufcSU"  # kinds of arrays that are nothing but their bytes


def to_bytes(value: Any) -> bytes:
    """Numbers, texts, bytes, arrays, None, and tuples, lists, dicts and records of these.

    Raises:
      TypeError: another thing is among them.
    """
    parts: list[bytes] = []
    said = _said(value, parts)
    return b"".join([json.dumps(said).encode(), b"\n", *parts])


def from_bytes(told: bytes) -> Any:
    """What `to_bytes` was given.

    Raises:
      ValueError: the bytes are others than it has written.
    """
    head, _, rest = told.partition(b"\n")
    try:
        value, end = _made(json.loads(head), rest, 0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"a process has told what is no plain data: {error}") from error
    if end != len(rest):
        raise ValueError(f"a process has told {len(rest) - end} bytes more than it says")
    return value


def _said(value: Any, parts: list[bytes]) -> Any:
    """How a value is nested; its bytes come behind `parts`."""
    inside = lambda values: [_said(one, parts) for one in values]  # noqa: E731
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, bytes):
        parts.append(value)
        return {"bytes": len(value)}
    if isinstance(value, dict):
        return {"dict": [inside(pair) for pair in value.items()]}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        kind = type(value)
        return {"record": [kind.__module__, kind.__qualname__, inside(value)]}
    if isinstance(value, tuple | list):
        return {type(value).__name__: inside(value)}
    array = np.asarray(value)
    if array.dtype.kind not in NUMBERS:
        raise TypeError(f"{type(value).__name__} of {array.dtype} is no plain data")
    parts.append(array.tobytes())
    return {"array": [array.dtype.str, array.shape, isinstance(value, np.generic)]}


def _made(said: dict[str, Any], rest: bytes, at: int) -> tuple[Any, int]:
    """A value, and where its bytes end."""
    ((kind, about),) = said.items()
    if kind == "value":
        return about, at
    if kind == "bytes":
        return _cut(rest, at, about), at + about
    if kind == "array":
        dtype, shape, number = np.dtype(about[0]), tuple(about[1]), about[2]
        if dtype.kind not in NUMBERS:
            raise ValueError(f"an array of {dtype}")
        size = dtype.itemsize * math.prod(shape)
        array = np.frombuffer(_cut(rest, at, size), dtype).reshape(shape).copy()
        return (array[()] if number else array), at + size
    values, nested = [], about[2] if kind == "record" else about
    if kind == "dict":
        nested = [{"tuple": pair} for pair in about]
    for one in nested:
        value, at = _made(one, rest, at)
        values.append(value)
    if kind == "record":
        return _record(*about[:2])._make(values), at
    return {"dict": dict, "list": list, "tuple": tuple}[kind](values), at


def _cut(rest: bytes, at: int, size: int) -> bytes:
    if not 0 <= size <= len(rest) - at:
        raise ValueError(f"{size} bytes are not there")
    return rest[at : at + size]


def _record(module: str, name: str) -> Any:
    """A class of named tuples that is loaded."""
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = vars(found)[part]
    if not (isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_fields")):
        raise ValueError(f"{module}.{name} is no record")
    return found
