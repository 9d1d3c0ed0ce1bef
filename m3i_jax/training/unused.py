"""What a config says that its run never looks at: a sentence for each, so that nobody relies on it.

A value that is the default is none: recipes say what several methods may want.
"""

import inspect
import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.data.views import crops
from m3i_jax.framework import Method, alike
from m3i_jax.ranges import shown
from m3i_jax.training import assemble, schema
from m3i_jax.training.config import Config

OF_METHOD = ("objective", "target")  # blocks that nothing but the method is made of


def sentences(config: Config, method: Method) -> list[str]:
    """What of a config is not looked at, as sentences for the log.

    method: of the config, see `assemble.check`.
    """
    of_parts = (_modules(config, method), _inputs(config, method), _average(config, method))
    return [*itertools.chain(*of_parts), *_of_method(config)]


def _modules(config: Config, method: Method) -> Iterator[str]:
    """Towers and decoders that no code and no term passes through."""
    decoders = {term.decoder for term in method.terms.values()} | method.heads()
    waiting = [*decoders]
    while waiting:
        name = config.decoders.get(waiting.pop(), {}).get("input")
        if name in config.decoders and name not in decoders:
            decoders.add(name)
            waiting.append(name)
    read = {config.decoders[name].get("input") for name in decoders & set(config.decoders)}
    towers = {code.encoder.tower for code in method.encoded.values()} | read
    towers |= {slot.source for slot in method.slots.values()}
    for kind, used in (("towers", towers), ("decoders", decoders)):
        for name in sorted(set(getattr(config, kind)) - used):
            yield f"config.{kind}.{name} is there, but the objective never passes through it"


def _inputs(config: Config, method: Method) -> Iterator[str]:
    """What is said of texts, small crops and epochs, where there are none."""
    small = any(crops.LOCAL.fullmatch(name) for name in method.sources)
    local = [key for key in config.crops if key.startswith("local_")]
    if not small:
        yield from _said("crops", config.crops, crops.Crops, local, "has no small crops")
        if "local" in config.augment:
            yield "config.augment.local is there, but the objective has no small crops"
    if "text" not in method.sources:
        block = schema.BLOCKS["captions"]
        function = block.functions[block.named(config.captions)]
        yield from _said("captions", config.captions, function, config.captions, "reads no texts")
    if config.epoch_size and "epoch" not in config.duration + config.warmup:
        yield (
            f"config.epoch_size is {config.epoch_size}, but no length of the run is in epochs: "
            "nothing looks at it"
        )


def _said(block: str, said: Mapping[str, Any], fn: Callable, keys, why: str) -> Iterator[str]:
    """Sentences on the keys of a block whose values are not the defaults."""
    for key in keys:
        if said[key] != _default(fn, key):
            yield (
                f"config.{block}.{key} is {shown(said[key])}, but the objective {why}: nothing "
                "looks at it"
            )


def _default(fn: Callable, key: str) -> Any:
    parameter = inspect.signature(fn).parameters.get(key)
    default = parameter.default if parameter else None
    return list(default) if isinstance(default, tuple) else default


def _of_method(config: Config) -> Iterator[str]:
    """Keys of the objective and its target without which the same method is made."""
    whole = _made(config)
    for place in schema.places(config.to_dict()):
        if place.path.split(".")[0] not in OF_METHOD:
            continue
        for key, value in place.keywords.items():
            if value in (_default(place.function, key), {}, None):
                continue
            path = [*place.path.split("."), key]
            others = [*filter(None, map(_made_or_none, _others(config, path, value)))]
            if others and all(other == whole for other in others):
                yield (
                    f"config.{place.path}.{key} is {shown(value)}, but the objective is the same "
                    "whatever it is: nothing looks at it"
                )


def _average(config: Config, method: Method) -> Iterator[str]:
    """The average for evaluation, where the method has one of its own."""
    (asked,) = method.average.slots
    if config.average and asked.settings != method.slots[asked.name].settings:
        yield (
            f"config.average is {shown(config.average)}, but the objective has a moving average of "
            "its own, which is evaluated: nothing looks at it"
        )


def _others(config: Config, path: list[str], value: Any) -> Iterator[Config]:
    """The config without a key, and with other values of it."""
    first, *inner, key = path
    altered = [not value] if isinstance(value, bool) else []
    if isinstance(value, int | float) and not altered:
        altered = [value // 2, value + 1] + [value / 2, 0.25] * isinstance(value, float)
    for other in (_default, *(x for x in altered if x != value)):
        block = node = config.to_dict()[first]
        for name in inner:
            node = node[name]
        if other is _default:
            del node[key]
        else:
            node[key] = other
        yield replace(config, **{first: block})


def _made_or_none(config: Config) -> Hashable | None:
    """What the method of a config is made of; None where it can be none."""
    try:
        return _made(config)
    except (ConfigError, ValueError):
        return None


def _made(config: Config) -> Hashable:
    """What the method of a config is made of."""
    method = assemble.objective(config)
    return alike.made_of((method.codes, method.terms, method.views, method.slots))
