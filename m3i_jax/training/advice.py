"""What a sentence may advise: settings that the method of a config has, and that lead on."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.training import schema
from m3i_jax.training.config import Config


def places(config: Config, key: str, *, of: str = "") -> list[str]:
    """Where a key of a method stands, such as "objective.text"; one place for each combined method.

    key: of the function of a method.  of: a view, code or term, whose method alone is meant.
    """
    own = ["objective", "methods", of.partition("/")[0]] if "/" in of else []
    methods = (place for place in schema.places(config.to_dict()) if _is_method(place.path))
    methods = (place for place in methods if own in ([], place.path.split(".")))
    return [f"{p.path}.{key}" for p in methods if key in inspect.signature(p.function).parameters]


def switching_off(config: Config, key: str, *, check: Callable[[Config], Any]) -> str:
    """What to set to do without a part, such as "set config.objective.text=False"; "" for nothing.

    check: raises a ConfigError for what cannot be run, which is not advised.
    """
    for place in places(config, key):
        for also in ({}, {"weighting": {"name": "constant"}}):  # as a group of terms may be gone
            changes = {place: False, **also}
            try:
                check(_with(config, changes))
            except ConfigError:
                continue
            return "set " + " and ".join(f"config.{at}={value!r}" for at, value in changes.items())
    return ""


def _is_method(path: str) -> bool:
    parts = path.split(".")
    return parts == ["objective"] or parts[:2] == ["objective", "methods"] and len(parts) == 3


def _with(config: Config, changes: Mapping[str, Any]) -> Config:
    """The config with other values."""
    plain = config.to_dict()
    for place, value in changes.items():
        *inner, key = place.split(".")
        node = plain
        for name in inner:
            node = node[name]
        node[key] = value
    return Config.of(plain)
