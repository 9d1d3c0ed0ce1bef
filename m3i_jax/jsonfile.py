"""JSON that others may have written: read within bounds, or refused with one kind of error."""

import json
import math
import os
from pathlib import Path
from typing import Any

from m3i_jax import ordinary

DEPTH = 64  # of lists and objects in each other; ours have six
SIZE = 1 << 26  # bytes; the index of the largest published model has 2 MB


def read(path: str | Path, *, size: int = SIZE) -> Any:
    """The content of a JSON file.

    Raises:
      OSError: there is no such file, or it cannot be read.
      ValueError: it is no ordinary file, has more than `size` bytes, or is nothing that `parse`
        takes.
    """
    text = content(path, size=size + 1)
    if len(text) > size:
        raise ValueError(f"it has more than {size} bytes")
    return parse(text)


def content(path: str | Path, *, size: int = -1) -> bytes:
    """The first `size` bytes of an ordinary file, or all; a pipe or a device is never waited for.

    Raises:
      OSError: there is no such file, or it cannot be read.
      ValueError: it is no ordinary file.
    """
    try:
        descriptor = ordinary.opened(path, os.O_RDONLY)
    except OSError as error:
        if error.strerror != ordinary.WHY:
            raise
        raise ValueError(ordinary.WHY) from error
    with open(descriptor, "rb") as file:
        return file.read(size)


def parse(text: str | bytes) -> Any:
    """The value that JSON text stands for, as the standard has it: no NaN, no infinite number.

    Raises:
      ValueError: it is no JSON, is nested more than `DEPTH` deep, has one key twice in an object,
        a number that no float or no 64 bits hold, or half of a letter.
    """
    hooks = dict(parse_constant=_refuse, parse_float=_finite, parse_int=_counted)
    try:
        value = json.loads(text, object_pairs_hook=_once, **hooks)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(value)
    json.dumps(value, ensure_ascii=False).encode()  # a UnicodeEncodeError is a ValueError
    return value


_TOO_DEEP = f"it is nested more than {DEPTH} deep"


def _refuse(name: str) -> Any:
    raise ValueError(f"it has the number {name}")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"it has the number {digits}, which no float is")
    return number


def _counted(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"it has the number {digits[:20]}, which no 64 bits hold")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"it has the key '{twice}' twice")
    return members


def _check_depth(value: Any) -> None:
    """Level by level, as a recursion would fail just where the check is needed."""
    level = [value]
    for _ in range(DEPTH):
        level = [inner for outer in level for inner in _nested(outer)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _nested(value: Any) -> list[Any]:
    """The lists and objects in a list or an object."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [x for x in inside if isinstance(x, dict | list)]
