"""Keys and arguments that had another name before: the old ones go on working, and say the new."""

import functools
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from m3i_jax.build import ConfigError

LOG = logging.getLogger(__name__)

# Where a key was, "*" being any name, and what its last part is today. Outer keys stand first, and
# what is in them is looked for under their names of today.
KEYS = {
    "average.classifier": "head",
    "objective.rows": "methods",
    "objective.codes": "vocabulary",
    "objective.methods.*.codes": "vocabulary",
    "target.beside": "extra_heads",
    "objective.target.beside": "extra_heads",
    "objective.methods.*.target.beside": "extra_heads",
}
_PATTERNS = {tuple(old.split(".")): new for old, new in KEYS.items()}


def key(path: str) -> str:
    """A dotted key under its name of today."""
    parts: list[str] = []
    for part in path.split("."):
        parts.append(_today((*parts, part)))
    return ".".join(parts)


def config(data: Any, *, within: Sequence[str] = ()) -> Any:
    """A config, dicts or ConfigDicts, that is changed to the names of today; the log says which.

    Raises:
      ConfigError: a block has a key under both of its names.
    """
    for name in list(data):
        new = _today((*within, name))
        if new != name:
            old = ".".join(("config", *within, name))
            if new in data:
                raise ConfigError(f"{old} is called '{new}' now, and the block has that, too")
            LOG.info("%s is called '%s' now", old, new)
            value = data[name]
            del data[name]
            data[new] = value
        if hasattr(data[new], "keys"):
            config(data[new], within=(*within, new))
    return data


def arguments(**names: str) -> Callable[[Callable], Callable]:
    """A function that takes arguments under former names, too, with a warning: {former: today}.

    Its signature, which is the schema of a config, has the names of today.
    """

    def wrap(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for former in names.keys() & kwargs.keys():
                new, what = names[former], f"{function.__name__}({former}=)"
                if new in kwargs:
                    raise TypeError(f"{what} is called '{new}' now, and that is given, too")
                warnings.warn(f"{what} is called '{new}' now", DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(former)
            return function(*args, **kwargs)

        return call

    return wrap


def _today(path: Sequence[str]) -> str:
    """The last part of a path, as it is called now."""
    for old, new in _PATTERNS.items():
        fits = (want in ("*", part) for want, part in zip(old, path, strict=False))
        if len(old) == len(path) and all(fits):
            return new
    return path[-1]
