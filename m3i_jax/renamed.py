"""Keys of a config that had another name before: the old names go on working, and say the new."""

import logging
from collections.abc import Sequence
from typing import Any

from m3i_jax.build import ConfigError

LOG = logging.getLogger(__name__)

# Where a key was, "*" being any name, and what its last part is today. Outer keys stand first, and
# what is in them is looked for under their names of today.
KEYS = {
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


def _today(path: Sequence[str]) -> str:
    """The last part of a path, as it is called now."""
    for old, new in _PATTERNS.items():
        fits = (want in ("*", part) for want, part in zip(old, path, strict=False))
        if len(old) == len(path) and all(fits):
            return new
    return path[-1]
