"""Shapes in annotations are checked when functions are called, in the tests alone (`conftest.py`).

A function's arrays are held to its signature by beartype and jaxtyping. Records are tuples, which
neither looks into: here the fields of every record that is handed in are held to its annotations.
Plain data is left to `ranges` and to what functions themselves say of it.
"""

import functools
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FunctionType, ModuleType
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.door import is_bearable
from jaxtyping import AbstractArray, jaxtyped

CHECKED = (
    "augment detection framework geometry heatmaps losses masks metrics mixing normalize quantize"
    " types"
)
CONF = BeartypeConf(is_pep484_tower=True)  # whole numbers are floats


def install() -> None:
    """Checks what is imported from here on of the packages `CHECKED`."""
    sys.meta_path.insert(0, Finder())


class Finder(MetaPathFinder):
    """Finds the modules to check.

    jaxtyping's own hook wraps closures, too: the framework compares those by what they are made of,
    and makes them at every call.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Where the module is, with a loader that checks it."""
        package, _, rest = name.partition(".")
        if package != "m3i_jax" or rest.split(".")[0] not in CHECKED.split():
            return None
        spec = PathFinder.find_spec(name, path, target)
        spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


class Loader(SourceFileLoader):
    """Checks the functions of a module, and the methods of its classes."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module, then puts functions that check in the places of its own."""
        super().exec_module(module)
        owners = [x for x in vars(module).values() if isinstance(x, type)]
        for owner in (module, *owners):
            for name, value in list(vars(owner).items()):
                if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                    setattr(owner, name, jaxtyped(value, typechecker=checked))


def checked(fn: Callable) -> Callable:
    """`fn` that refuses arguments, and a result, that are not as its signature and records say."""
    fn.__annotations__ = {n: a for n, a in fn.__annotations__.items() if arrays(a) or fields(a)}
    if not fn.__annotations__:
        return fn
    call = beartype(conf=CONF)(fn)

    @functools.wraps(fn)
    def checking(*args, **kwargs):
        for record in records((args, kwargs)):
            hold(record)
        return call(*args, **kwargs)

    return checking


def arrays(annotation: Any) -> bool:
    """Whether an annotation speaks of arrays, and not only of what a function does with them."""
    if isinstance(annotation, type):
        return issubclass(annotation, AbstractArray)
    if typing.get_origin(annotation) is Callable:
        return False
    return any(arrays(part) for part in typing.get_args(annotation))


@functools.cache
def fields(kind: Any) -> dict[str, Any]:
    """The annotations of the arrays of a record of the package; none of anything else."""
    if not (isinstance(kind, type) and issubclass(kind, tuple)):
        return {}
    if not kind.__module__.startswith("m3i_jax."):
        return {}
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: hint for name, hint in hints.items() if arrays(hint)}


def records(value: Any) -> Iterator[Any]:
    """The package's records in tuples, lists, dicts and records."""
    if isinstance(value, tuple | list):
        if fields(type(value)):
            yield value
        for part in value:
            yield from records(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from records(part)


def hold(record: Any) -> None:
    """Raises where a field is not as annotated; axes of one name have one length in a record."""
    with jaxtyped("context"):
        for name, hint in fields(type(record)).items():
            value = getattr(record, name)
            if not is_bearable(value, hint, conf=CONF):
                what = f"{type(record).__name__}.{name} is {type(value).__name__}"
                raise TypeError(f"{what}{getattr(value, 'shape', '')}, expected {hint}")
