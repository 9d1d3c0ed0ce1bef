"""`{name, **kwargs}` is one function call: how plain data becomes objects.

The signature of the function is the schema. Unknown, misspelt, mistyped or non-finite values are
refused before anything runs, with the nearest right name, so no key of a config can be dead.
"""

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from m3i_jax.ranges import Range


class UserError(Exception):
    """What the user can mend: a program ends with this sentence and `status`, without a traceback.

    The statuses are those of sysexits.h; `cli` lists them.
    """

    status = 1


class ConfigError(UserError, ValueError):
    """A config that cannot be run; the message is a sentence for the user."""

    status = 2


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of `names`, or a list of them."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there are: {', '.join(names) or 'none'}"


def offered(module: Any) -> dict[str, Callable]:
    """Public functions of a module (its `__all__`, or what it defines itself); a dict passes."""
    if isinstance(module, Mapping):
        return dict(module)
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
    ]
    return {name: getattr(module, name) for name in names}


def lookup(module: Any, name: str, *, what: str) -> Callable:
    """The function called `name` in `module`, or a ConfigError naming the nearest one."""
    functions = offered(module)
    if name not in functions:
        raise ConfigError(f"unknown {what} '{name}'{nearest(str(name), functions)}")
    return functions[name]


def call(fn: Callable, kwargs: Mapping[str, Any], *, what: str, **given: Any) -> Any:
    """Calls `fn(**given, **kwargs)` after checking `kwargs` against its signature.

    Args:
      fn: the function; its parameter names and annotations are the schema.
      kwargs: plain data from a config.
      what: how to name the block in errors, such as `config.objective`.
      **given: arguments that the program supplies and the config may not.
    """
    check(fn, kwargs, what=what, given=given)
    return fn(**given, **kwargs)


def check(fn: Callable, kwargs: Mapping[str, Any], *, what: str, given: Iterable[str] = ()) -> None:
    """Refuses what `call` would refuse, without calling `fn`; `given` are names only."""
    given = tuple(given)
    parameters = inspect.signature(fn).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    allowed = [n for n, p in parameters.items() if n not in given and p.kind is not p.VAR_KEYWORD]
    for key, value in kwargs.items():
        if key not in allowed and not (open_ended and key not in given):
            raise ConfigError(f"{what} has no key '{key}'{nearest(key, allowed)}")
        if key in parameters:
            _check(value, parameters[key], f"{what}.{key}")
    missing = [
        n
        for n, p in parameters.items()
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and n not in given
        and n not in kwargs
    ]
    if missing:
        raise ConfigError(f"{what} lacks {', '.join(repr(m) for m in missing)}")


def build(module: Any, block: Mapping[str, Any], *, what: str, **given: Any) -> Any:
    """Calls the function of `module` that `block["name"]` names with the rest of the block."""
    fn, kwargs = choose(module, block, what=what)
    return call(fn, kwargs, what=what, **given)


def choose(module: Any, block: Mapping[str, Any], *, what: str) -> tuple[Callable, dict[str, Any]]:
    """The function of `module` that `block["name"]` names, and the rest of the block."""
    kwargs = dict(block)
    if "name" not in kwargs:
        raise ConfigError(f"{what} lacks 'name'{nearest('', offered(module))}")
    return lookup(module, kwargs.pop("name"), what=what), kwargs


def _check(value: Any, parameter: inspect.Parameter, what: str) -> None:
    """Refuses NaN, infinities, and plain values whose type contradicts the annotation."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{what} is {value}, which is not a finite number")
    annotation, limits = _limits(parameter.annotation)
    wanted = _plain_types(annotation)
    if not wanted or value is None and type(None) in wanted:
        return
    right = isinstance(value, wanted) and not (isinstance(value, bool) and bool not in wanted)
    whole = isinstance(value, int) and not isinstance(value, bool) and float in wanted
    sequence = isinstance(value, list) and tuple in wanted
    if not (right or whole or sequence):
        names = " or ".join(sorted(t.__name__ for t in wanted))
        raise ConfigError(f"{what} is {value!r} ({type(value).__name__}), expected {names}")
    if limits and isinstance(value, int | float) and not limits.holds(value):
        raise ConfigError(f"{what} is {value}, expected {limits}")


def _limits(annotation: Any) -> tuple[Any, Range | None]:
    """An annotation without its range, and that range; of `Annotated[...] | None`, too."""
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    plain, limits = [], None
    for option in options:
        if typing.get_origin(option) is typing.Annotated:
            option, *marks = typing.get_args(option)
            limits = next((mark for mark in marks if isinstance(mark, Range)), limits)
        plain.append(option)
    return typing.Union[tuple(plain)], limits  # noqa: UP007  of a tuple


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _plain_types(annotation: Any) -> tuple[type, ...]:
    """The plain types an annotation allows; () where it says nothing that can be checked."""
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    plain = {bool, int, float, str, tuple, list, dict, type(None)}
    found = tuple(typing.get_origin(o) or o for o in options)
    return found if all(t in plain for t in found) else ()
