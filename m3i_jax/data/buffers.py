"""Batches that are filled row by row, by several threads: records of arrays, dicts and None."""

from typing import Any

import numpy as np


def empty(row: Any, count: int) -> Any:
    """A record of arrays with room for `count` rows such as this one."""
    return _mapped(lambda x: np.empty((count, *np.shape(x)), np.asarray(x).dtype), row)


def put(row: Any, into: Any, index: int) -> None:
    """Writes a row into its place.

    Raises:
      ValueError: its shapes or dtypes are not those of the batch: NumPy would make some fit.
    """

    def write(array: np.ndarray, value: Any) -> None:
        value = np.asarray(value)
        if value.shape != array.shape[1:] or value.dtype != array.dtype:
            raise ValueError(
                f"a row has {value.dtype} of {value.shape}, others of its batch {array.dtype} of "
                f"{array.shape[1:]}"
            )
        array[index] = value

    _mapped(write, into, row)


def size(batch: Any) -> int:
    """Bytes of a batch."""
    sizes: list[int] = []
    _mapped(lambda array: sizes.append(array.nbytes), batch)
    return sum(sizes)


def _mapped(function: Any, first: Any, *others: Any) -> Any:
    """`function` of the arrays of records of one structure."""
    if first is None and not any(other is not None for other in others):
        return None
    if isinstance(first, dict):
        if any(first.keys() != other.keys() for other in others):
            raise ValueError(f"a row has {[*others[0]]}, others of its batch {[*first]}")
        return {name: _mapped(function, first[name], *(o[name] for o in others)) for name in first}
    if isinstance(first, tuple):
        parts = (_mapped(function, *column) for column in zip(first, *others, strict=True))
        return type(first)(*parts)
    if first is None or any(other is None for other in others):
        raise ValueError("a row has what others of its batch lack")
    return function(first, *others)
