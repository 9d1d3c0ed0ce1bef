"""What a config resolves to: every key that it leaves open has the value that a run would take.

Two configs that resolve to the same say the same run, whichever of them writes its defaults down.
"""

import copy
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.ranges import described
from m3i_jax.training import schema
from m3i_jax.training.assemble import Run
from m3i_jax.training.average import with_momentum
from m3i_jax.training.config import Config

OF_CONFIG = "config."  # how a block says that a key of the config itself fills one of its own


def resolved(
    config: Mapping[str, Any], *, of_run: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """A copy of a config, plain data, with the defaults of the schema in it.

    A block that no function takes, as one of an old version may be, stays as it is; so does a
    default that only a run knows, such as the momentum that fits its length, without a run.
    of_run: see there.
    """
    defaults = Config(batch=0, duration="", data={}, encoder={}, objective={}, optimizer={})
    whole = defaults.to_dict() | copy.deepcopy(dict(config))
    for key, value in of_run.items():
        outer, _, last = key.rpartition(".")
        block = under(whole, outer)
        if isinstance(block, dict):
            block.setdefault(last, value)
    for pattern in schema.BLOCKS:
        for place in _places(whole, pattern):
            outer, _, last = place.path.rpartition(".")
            under(whole, outer)[last] = _whole(place, whole)
    return json.loads(json.dumps(whole, default=repr))


def of_run(run: Run) -> dict[str, Any]:
    """{dotted key: value} of all that a run decides where its config leaves it open.

    That is the momentum of moving averages, which fits the length of the run, and how wide a
    prediction is, which the objective says.
    """
    config = run.config.to_dict()
    widths = run.method.decoders(run.network.nodes)
    decided = {f"decoders.{name}.out": width for name, width in widths.items()}
    for path in ("average", "target", "objective.target"):
        block = under(config, path)
        if path == "average" or (block and block.get("name") == "ema"):
            own = {key: value for key, value in block.items() if key in ("momentum", "end")}
            decided[f"{path}.momentum"] = with_momentum(own, max(run.total, 1))["momentum"]
    return decided


def under(config: Any, key: str) -> Any:
    """What a config has under a dotted key, all of it under ""; None where it has nothing."""
    for name in filter(None, key.split(".")):
        config = config.get(name) if isinstance(config, dict) else None
    return config


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
