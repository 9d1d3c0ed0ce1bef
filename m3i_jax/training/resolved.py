"""What a config resolves to: every key that it leaves open has the value that a run would take.

Two configs that resolve to the same say the same run, whichever of them writes its defaults down.
"""

import copy
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.ranges import described
from m3i_jax.training import schema
from m3i_jax.training.config import Config

OF_CONFIG = "config."  # how a block says that a key of the config itself fills one of its own


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a config, plain data, with the defaults of the schema in it.

    A block that no function takes, as one of an old version may be, stays as it is; so does a
    default that only a run knows, such as the momentum that fits its length.
    """
    defaults = Config(batch=0, duration="", data={}, encoder={}, objective={}, optimizer={})
    found = defaults.to_dict() | copy.deepcopy(dict(config))
    for pattern in schema.BLOCKS:
        for place in _places(found, pattern):
            *outer, last = place.path.split(".")
            node = found
            for name in outer:
                node = node[name]
            node[last] = _whole(place, found)
    return json.loads(json.dumps(found, default=repr))


def _places(config: Mapping[str, Any], pattern: str) -> list[schema.Place]:
    """The blocks of one pattern; none where one of them cannot be read."""
    try:
        return [*schema.places(config, patterns=(pattern,))]
    except (ConfigError, AttributeError, TypeError):
        return []


def _whole(place: schema.Place, config: Mapping[str, Any]) -> dict[str, Any]:
    """The block of a place with the keys that it leaves open."""
    hidden = {*place.block.given, *place.block.filled, *place.block.lacking}
    block = {**_defaults(place.function, hidden), **_filled(place, config), **place.keywords}
    other = place.block.read_elsewhere
    block |= {**_defaults(other, ()), **place.elsewhere} if other else {}
    return block | ({"name": place.name} if place.name else {})


def _filled(place: schema.Place, config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a place that are keys of the config itself, where it does not say them."""
    takes = inspect.signature(place.function).parameters
    said = {key: of for key, of in place.block.filled.items() if key in takes}
    return {
        key: config.get(of.removeprefix(OF_CONFIG))
        for key, of in said.items()
        if of.startswith(OF_CONFIG)
    }


def _defaults(function: Callable, hidden: Collection[str]) -> dict[str, Any]:
    """The keys of a function that a config can say, and need not."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
        and name not in hidden
        and described(parameter.annotation)
    }
