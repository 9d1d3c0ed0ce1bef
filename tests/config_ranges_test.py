"""Every number that a config can reach has a range, and is held to it: outside and inside."""

import inspect
import math
import typing
from typing import Annotated

import jax
import jax.numpy as jnp
import pytest

from m3i_jax import build, data, decoders, encoders, framework, methods, ranges
from m3i_jax.augment import photometric
from m3i_jax.build import ConfigError
from m3i_jax.data import captions
from m3i_jax.data.sources import mixture
from m3i_jax.data.views import kinds, rand_augment
from m3i_jax.methods import compose
from m3i_jax.parallel import sharding
from m3i_jax.ranges import Ascending, Range
from m3i_jax.training import assemble, optimizer, schedules, schema
from m3i_jax.training.config import Config
from m3i_jax.training.spikes import Spikes

LEAST = dict(batch=8, duration="9 steps", data={}, encoder={}, objective={}, optimizer={})
STEPS = ("params", "batch", "total", "warmup", "peak")
PARAMS = {"encoders": {"image": {"norm": {"scale": jnp.ones(4)}}}}


def steps(fn):
    """What the program gives an optimiser or a schedule."""
    given = dict(params=PARAMS, batch=8, total=9, warmup=0, peak=0.1)
    return {name: given[name] for name in STEPS if name in inspect.signature(fn).parameters}


def reached():
    """{name: (function, what the program gives it, what a config has to)}."""
    found = {"config": (Config, {}, LEAST)}
    for name, fn in kinds.VIEWS.items():
        found["crops" if name == kinds.RANDOM else f"crops {name}"] = (fn, {}, {})
    module = dict(parent=None, name=None)
    needed = dict(width=64, depth=2, heads=2, patch=16, size=10, groups=2)
    for name, fn in encoders._VARIANTS.items():
        fields = inspect.signature(fn).parameters
        lacking = {n: needed[n] for n, p in fields.items() if p.default is p.empty and n in needed}
        if name.startswith("swin"):
            lacking = {}
        found[f"encoder {name}"] = (fn, module, lacking)
    for name, fn in decoders._DECODERS.items():
        out = {"out": 8} if decoders._lacks(fn, "out") else {}
        found[f"decoder {name}"] = (fn, module, out)
    table = {f"method {name}": method for name, method in methods.METHODS.items()}
    targets = {f"target {name}": fn for name, fn in compose.TARGETS.items()}
    weightings = {f"weighting {name}": fn for name, fn in schema.WEIGHTINGS.items()}
    alone = {
        **table, **targets, **weightings, "average": framework.ema,
        "rand_augment": rand_augment.RandAugment, "log": schema.Log, "checkpoint": schema.Saves,
        "spikes": Spikes,
        "monitor": schema.Monitor, "validation": schema.Validation, "share": mixture.Share,
    }  # fmt: skip
    found |= {name: (fn, {}, {}) for name, fn in alone.items()}
    found["method combine"] = (methods.combine, {}, {"methods": {}})
    found["weighting scheduled"] = (framework.scheduled, {}, {"groups": {}})
    for name, fn in optimizer.offered().items():
        found[f"optimizer {name}"] = (fn, steps(fn), {"lr": 0.1})
    for name, fn in schedules.SCHEDULES.items():
        found[f"schedule {name}"] = (fn, steps(fn), {})
    images = jax.ShapeDtypeStruct((1, 8, 8, 3), "float32")
    found["augment"] = (photometric, dict(key=None, images=images), {})
    beside = (schema.Sharing, schema.Feeding, schema.Aim, schema.Tokenizer, schema.Averaging)
    beside += (kinds.Kind,)
    found |= {f"beside {record.__name__}": (record, {}, {}) for record in beside}
    found["mesh"] = (sharding.axes, dict(count=8), {})
    found["weights"] = (schema.Source, {}, {"path": "x"})
    found["init_from"] = (schema.Origin, {}, {"path": "x"})
    found["captions"] = (captions.train, dict(captions=["a word"]), {})
    found["captions file"] = (captions.load, dict(path="x"), {})
    for name, fn in data.SOURCES.items():
        own = inspect.signature(fn).parameters.items()
        lacking = {n: "x" for n, p in own if p.default is p.empty and n not in data.GIVEN}
        lacking |= {"of": {"name": "digit_scenes"}} if "of" in lacking else {}
        found[f"source {name}"] = (fn, dict(split="train"), lacking)
    return found


REACHED = reached()
# Opened or traced for a value inside, these cost more than they show.
SOURCES = [name for name in REACHED if name.startswith("source ")]
ONLY_CHECKED = ("augment", *SOURCES, "captions", "captions file")


def fields(name):
    """(key, annotation) of what a config may say to a function."""
    fn, given, _ = REACHED[name]
    for key, parameter in inspect.signature(fn).parameters.items():
        if key not in given:
            yield key, parameter.annotation


@pytest.mark.parametrize("name", REACHED)
def test_every_number_has_a_range(name):
    bare = {key: list(ranges.unlimited(annotation)) for key, annotation in fields(name)}
    assert not {key: left for key, left in bare.items() if left}


def test_a_number_without_a_range_is_found():
    found = lambda annotation: list(ranges.unlimited(annotation))  # noqa: E731
    assert found(int) == [int] and found(float | None) == [float] and found(tuple) == [tuple]
    assert found(tuple[ranges.Share, float]) == [float] and found(dict[str, int]) == [int]
    assert found(str | bool | None) == [] == found(tuple[ranges.Share, ...])
    assert found(ranges.Width | tuple[ranges.Width, ...]) == []


def test_the_list_has_all_that_configs_reach(monkeypatch):
    """Whatever is built or checked while the configs are, is on the list."""
    from m3i_jax import cli
    from tests import configs_test

    seen, checked = set(), build.check

    def watch(fn, kwargs, **how):
        seen.add(getattr(fn, "func", fn))
        return checked(fn, kwargs, **how)

    monkeypatch.setattr(build, "check", watch)
    for name in configs_test.CONFIGS:
        config = Config.of(cli.load(name))
        assemble.check(config)
    known = {getattr(fn, "func", fn) for fn, _, _ in REACHED.values()}
    names = {getattr(fn, "__name__", "") for fn in known}
    assert {fn for fn in seen - known if fn.__name__ not in (*names, "along")} == set()


def parts(annotation):
    """(kind, its range, its other marks, arguments) of every alternative."""
    for option in ranges.options(annotation):
        inner, *marks = typing.get_args(option) if hasattr(option, "__metadata__") else (option,)
        limits = next((mark for mark in marks if isinstance(mark, Range)), None)
        yield typing.get_origin(inner) or inner, limits, marks, typing.get_args(inner)


def beyond(kind, limits):
    """Numbers just and far outside of a range, from its ends alone."""
    for end, out, left_out in ((limits.low, -1, limits.above), (limits.high, 1, limits.below)):
        if math.isinf(end):
            continue
        yield end + out * 1000
        yield out * 10**300 if out > 0 or limits.low <= 0 else -(10**300)
        yield end + out if kind is int else math.nextafter(end, out * math.inf)
        if left_out:
            yield end


def within(kind, limits):
    """The ends of a range, and something between them."""
    low = limits.low if not limits.above else math.nextafter(limits.low, math.inf)
    high = limits.high if not limits.below else math.nextafter(limits.high, -math.inf)
    middle = (limits.low + limits.high) / 2
    return [low, high, round(middle) if kind is int else middle]


# What no text may be that names something, or selects it: some of it hangs where it is tried.
STRANGE = ("", " ", "some", "(", "(a+)+$", "(a|a)*$", ".*.*.*.*.*x", "x" * 2000)


def wrong(mark, text):
    return hasattr(mark, "holds") and not mark.holds(text)


def outside(annotation):
    """Values that an annotation cannot allow."""
    yield from (math.nan, math.inf, -math.inf)
    kinds = [kind for kind, *_ in parts(annotation)]
    plain = (bool, int, float, str, tuple, list, dict, type(None))
    if not all(kind in plain for kind in kinds):
        return
    if dict not in kinds:
        yield {"x": 1}
    if str not in kinds:
        yield "some"
    if not {tuple, list} & set(kinds):
        yield [1, 2]
    if bool not in kinds:
        yield True
    for kind, limits, marks, arguments in parts(annotation):
        if limits and not {int, float} & set(kinds) - {kind}:
            yield from beyond(kind, limits)
        if kind is int and float not in kinds:
            yield 1.5
        if kind is str:
            yield from (text for text in STRANGE if any(wrong(mark, text) for mark in marks))
        if kind is tuple and arguments:
            items = [arguments[0]] * 2 if arguments[-1] is Ellipsis else list(arguments)
            good = [inside(item)[0] for item in items]
            for i, item in enumerate(items):
                for bad in outside(item):
                    yield [*good[:i], bad, *good[i + 1 :]]
            if arguments[-1] is not Ellipsis:
                yield [*good, good[-1], good[-1]]
            if any(isinstance(mark, Ascending) for mark in marks):
                yield inside(items[0])[1::-1]
        if kind is dict and arguments:
            yield from ({"x": bad} for bad in outside(arguments[1]))


def inside(annotation):
    """Values that an annotation allows, the lowest first."""
    found = []
    for kind, limits, marks, arguments in parts(annotation):
        if limits:
            found += within(kind, limits)
        elif kind is tuple and arguments:
            items = [arguments[0]] * 2 if arguments[-1] is Ellipsis else list(arguments)
            found += [[inside(item)[i] for item in items] for i in range(2)]
        elif kind is str:
            words = [word for mark in marks for word in getattr(mark, "words", ())]
            found += words or ["some", "other"]
        elif kind is bool:
            found += [False, True]
    return found


def has_numbers(annotation):
    return any(
        limits or kind in (tuple, dict) and any(has_numbers(a) for a in arguments if a is not ...)
        for kind, limits, _, arguments in parts(annotation)
    )


@pytest.mark.parametrize("name", REACHED)
def test_values_outside_are_refused_by_name_in_a_sentence(name):
    fn, given, needed = REACHED[name]
    for key, annotation in fields(name):
        for value in outside(annotation):
            with pytest.raises(ConfigError) as error:
                build.check(fn, needed | {key: value}, what="config.block", given=given)
            said = str(error.value)
            assert said.startswith(f"config.block.{key}"), (value, said)
            assert "\n" not in said and len(said) < 250


@pytest.mark.parametrize("name", REACHED)
def test_values_inside_are_built_or_refused_by_name(name):
    fn, given, needed = REACHED[name]
    for key, annotation in fields(name):
        for value in inside(annotation) if has_numbers(annotation) else ():
            build.check(fn, needed | {key: value}, what="config.block", given=given)
            if name in ONLY_CHECKED:
                continue
            try:
                made = build.call(fn, needed | {key: value}, what="config.block", **given)
                getattr(made, "check", lambda: None)()
            except ConfigError as error:
                assert "\n" not in str(error)


def test_defaults_are_inside():
    for name, (fn, given, _) in REACHED.items():
        for key, parameter in inspect.signature(fn).parameters.items():
            if key not in given and isinstance(parameter.default, int | float | tuple | str):
                wrong = ranges.refusal(parameter.default, parameter.annotation, f"{name}.{key}")
                assert wrong is None, wrong


def test_a_range_of_each_kind_is_drawn_from():
    annotation = Annotated[tuple[ranges.Share, ranges.Share], Ascending()]
    bad = list(outside(annotation))
    assert [1.0, 0] in bad or [1, 0] in bad
    assert any(isinstance(x, list) and math.nextafter(1, 2) in x for x in bad)
    assert list(beyond(int, Range(1, 8))) == [-999, -(10**300), 0, 1008, 10**300, 9]


NOBODY = [  # each was accepted, and trained on nothing or on one number alone
    ("digit_scenes/vq_kd", "decoders.bottleneck.out", 1, "a code of one number is its sign"),
    ("digit_scenes/moco", "decoders.projector.out", 1, "a code of one number is its sign"),
    ("digit_scenes/mae", "optimizer.lr", 50, "a step moves each parameter by about it"),
    ("digit_scenes/mae", "optimizer.eps", 1.0, "with more than a gradient's root it is SGD"),
    ("digit_scenes/mae", "optimizer.b1", 0.9999999, "never follows"),
    ("digit_scenes/mae", "optimizer.b2", 0.9999999, "never follows"),
    ("digit_scenes/mae", "encoder.drop_path", 0.9999999, "hardly anything is left to train"),
    ("digit_scenes/mae", "encoder.attention_dropout", 0.99, "hardly anything is left to train"),
    ("digit_scenes/mae", "encoder.eps", 1.0, "from 0"),
    ("digit_scenes/mae", "encoder.layer_scale", 1e6, "of about 1"),
    ("digit_scenes/clip", "objective.hidden", 0.9999, "hardly anything is left"),
    ("digit_scenes/m3i", "objective.label_smoothing", 0.999, "hardly anything of the label"),
    ("digit_scenes/m3i", "objective.text_weight", 1e6, "nothing else counts"),
    ("digit_scenes/m3i", "weighting.gamma", 1e-9, "only one of two counts"),
    ("digit_scenes/barlow_twins", "objective.off_diagonal", 1e6, "nothing else counts"),
    ("digit_scenes/moco", "objective.temperature", 100, "logits are divided by it"),
]  # fmt: skip


@pytest.mark.parametrize("name,path,value,why", NOBODY)
def test_numbers_that_nobody_can_mean_are_refused_with_the_reason(name, path, value, why):
    from m3i_jax import cli

    config = cli.load(name).to_dict()
    *inner, key = path.split(".")
    node = config
    for part in inner:
        node = node[part]
    node[key] = value
    with pytest.raises(ConfigError, match=rf"^config\.{path} is .*{why}"):
        assemble.check(Config.of(config))
