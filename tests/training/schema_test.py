"""Blocks are held to the signatures of their functions, without loading what runs them."""

import subprocess
import sys

import pytest

from m3i_jax import build, cli
from m3i_jax.build import ConfigError
from m3i_jax.training import schema
from m3i_jax.training.config import Config


def mixture(block):
    return {"data": {"name": "mixture", "of": {"a": block}}}


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"optimizer.rl": 1.0}, "config.optimizer has no key 'rl'; did you mean 'lr'"),
        ({"optimizer.b1": "high"}, "config.optimizer.b1 is 'high' (text), expected a number"),
        ({"crops.ratoi": (1, 1)}, "config.crops has no key 'ratoi'; did you mean 'ratio'"),
        ({"crops": {"name": "scale_jiter"}}, "config.crops 'scale_jiter'; did you mean 'scale_j"),
        ({"crops": {"name": "person", "ratio": 1}}, "config.crops has no key 'ratio'"),
        ({"crops": {"name": "person", "rotation": 200}}, "rotation is 200, expected 0 to 180"),
        ({"crops.rand_augment": 9.0}, "config.crops.rand_augment is 9.0, expected"),
        (
            {"crops.rand_augment": {"operation": 3}},
            "config.crops.rand_augment has no key 'operation'; did you mean 'operations'",
        ),
        ({"augment.a": {"solarise": 1.0}}, "did you mean 'solarize'"),
        (
            {"augment.a": {"rand_augment": {"magnitude": 11.0}}},
            "config.augment.a.rand_augment.magnitude is 11.0, expected",
        ),
        ({"captions.lenght": 3}, "did you mean 'length'"),
        ({"data.name": "digit_scene"}, "did you mean 'digit_scenes'"),
        ({"weighting.gama": 1.0}, "did you mean 'gamma'"),
        ({"crops.interpolation": "bicubci"}, "one of bicubic, bilinear; did you mean 'bicubic'?"),
        ({"crops.rand_augment": {}, "crops.scale": [1e-12, 1.0]}, "scale[0] is 1e-12, expected"),
        ({"crops.ratio": [1e-9, 1.0]}, "ratio[0] is 1e-09, expected 0.05 to 20"),
        ({"data": {"name": "image_folder", "root": ""}}, "root is '', expected a text that is"),
        ({"data": {"name": "image_folder", "root": "x", "decode": "y"}}, "no config can say"),
        ({"checkpoint": {"every": 0, "keep_every": 9}}, "keep_every is 9, but nothing is kept"),
        ({"weights.x": {"path": ""}}, "config.weights.x.path is '', expected a text that is not"),
        (
            {"weights.x": {"path": "x", "branch": "onlin"}},
            "is 'onlin', expected one of ema, online; did",
        ),
        ({"weights.x": {"path": "x", "layout": "tim"}}, "did you mean 'timm'?"),
        ({"weights.x": {"path": "x", "ignore": "(a+)+$"}}, "expected a pattern: it repeats what"),
        ({"monitor": {"every": 1, "k": 9, "bank": 8}}, "monitor.k is 9, expected at most its bank"),
        (mixture({"name": "arrays", "wieght": 1}), "config.data.of.a has no key 'wieght'; did you"),
        (mixture({"name": "arrays", "root": "x", "weight": -1}), "of.a.weight is -1, expected"),
        (mixture(3), "config.data.of.a is 3, expected a block of keys"),
        ({"data": {"name": "held_out", "of": {"name": "arrays", "rot": "x"}}}, "of has no key"),
        ({"captions.file": ""}, "config.captions.file is '', expected a text that is not"),
        ({"optimizer.freeze": "(.*)*x"}, "expected a pattern: it repeats what is a repeat"),
        ({"optimizer.clip_by": ["(a|a)*$"]}, "clip_by[0] is '(a|a)*$', expected a pattern"),
    ],
)
def test_what_no_function_takes_is_refused(changes, sentence, shrunk):
    with pytest.raises(ConfigError) as error:
        schema.check(shrunk("m3i", **changes))
    assert sentence in str(error.value)


def test_every_method_passes(any_method, shrunk):
    schema.check(shrunk(any_method))


def test_the_check_loads_neither_orbax_nor_grain():
    code = (
        "import sys, m3i_jax.training.schema; print('orbax' in sys.modules, 'grain' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_the_walk_looks_at_every_block_once(monkeypatch):
    """Also at blocks in blocks, whatever the config names them."""
    config, seen = Config.of(cli.load("digit_scenes/mae_clip")), []
    monkeypatch.setattr(build, "check", lambda fn, kwargs, *, what, **how: seen.append((fn, what)))
    schema.check(config)
    assert len(seen) == len(set(seen))
    paths = {what.removeprefix("config.") for _, what in seen}
    blocks = {key for key, value in config.to_dict().items() if isinstance(value, dict) and value}
    named = {"augment", "towers", "decoders", "weights"}
    inner = {f"{key}.{name}" for key in named & blocks for name in getattr(config, key)}
    assert (blocks - named) | inner | {"objective.methods.mae", "objective.methods.clip"} <= paths
    assert paths - blocks - inner >= {"crops", "log", "monitor", "mesh", "captions"} - blocks


def test_places_pair_blocks_with_functions():
    block = {"name": "sgd", "lr": 1.0, "schedule": "constant"}
    weights = {"teacher": {"path": "x"}, "other": {"path": "y"}}
    config = {"optimizer": block, "weights": weights, "target": {}, "crops": {}, "captions": {}}
    found = {place.path: place for place in schema.places(config)}
    assert [*found] == [
        "crops", "captions", "weights.teacher", "weights.other", "optimizer", "optimizer.schedule",
    ]  # fmt: skip
    assert found["optimizer"].name == "sgd" and found["optimizer"].keywords == {
        "lr": 1.0,
        "schedule": "constant",
    }
    assert found["optimizer.schedule"].function is schema.schedules.SCHEDULES["constant"]
    assert found["weights.other"].keywords == {"path": "y"}
    words = {"captions": {"file": "x", "length": 8}}
    (place,) = schema.places(words)
    assert place.function is schema.captions.load and place.elsewhere == {"file": "x"}


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"optimizer.schedule": {"name": "cosine", "stair": 2}},
            "no key 'stair'; did you mean 'st",
        ),
        ({"towers.text.shares": -1}, "config.towers.text.shares is -1, expected 0 to 1000"),
        ({"decoders.image.input": 3}, "config.decoders.image.input is 3, expected text"),
        (
            {"init_from": {"path": "x", "branch": "emma"}},
            "is 'emma', expected one of ema, online; did",
        ),
        ({"captions": {"file": "x", "vocabulary": 9}}, "config.captions has no key 'vocabulary'"),
        ({"monitor": {"evry": 1}}, "config.monitor has no key 'evry'; did you mean 'every'"),
        ({"log": {"imags": 1}}, "config.log has no key 'imags'; did you mean 'images'"),
        ({"mesh.fsdp": 1.5}, "config.mesh.fsdp is 1.5, expected a whole number"),
        ({"average.momentum": 2}, "config.average.momentum is 2, expected 0 or more and less"),
        ({"target.momentum": 2}, "config.target.momentum is 2, expected 0 or more and less"),
        ({"weighting": {"name": "constan"}}, "unknown config.weighting 'constan'; did you mean"),
    ],
)
def test_blocks_that_are_built_later_are_in_the_walk(changes, sentence, shrunk):
    with pytest.raises(ConfigError) as error:
        schema.check(shrunk("m3i", **changes))
    assert sentence in str(error.value)
