"""What functions and records are made of, to compare them by: equal parts, equal things."""

from collections.abc import Hashable, Mapping
from functools import partial
from types import FunctionType
from typing import Any


def made_of(value: Any) -> Hashable:
    """A value that is equal for things that are made of the same parts, and do the same.

    A `partial` is its function and arguments; a function is its code and what it has closed over,
    so that two that one call of a factory made are equal where its arguments were. What cannot be
    looked into is itself alone.
    """
    if isinstance(value, partial):
        return partial, made_of(value.func), made_of(value.args), made_of(value.keywords)
    if isinstance(value, FunctionType):
        # Not by its name: what one factory makes is called alike, and closes over other things.
        cells = tuple(made_of(_content(cell)) for cell in value.__closure__ or ())
        defaults = made_of(value.__defaults__), made_of(value.__kwdefaults__)
        return value.__module__, value.__code__, defaults, cells
    if isinstance(value, Mapping):
        return Mapping, frozenset((made_of(k), made_of(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(made_of(part) for part in value)
    try:
        hash(value)
    except TypeError:
        # An array, say. Comparing its numbers would cost more than taking it for another one.
        return object, id(value)
    # With its type: 1, 1.0 and True are equal to Python, and do not do the same.
    return type(value), value


def _content(cell: Any) -> Any:
    """What a cell of a closure holds; itself while it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return cell
