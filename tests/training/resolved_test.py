"""A default that is written out is no change of a run; another value is one."""

import copy
import json

import pytest

from m3i_jax import cli, shipped
from m3i_jax.build import ConfigError
from m3i_jax.training import assemble, log, schema, session
from m3i_jax.training.config import Config
from m3i_jax.training.resolved import of_run, resolved


def plain(name, **changes):
    config = cli.load(name).to_dict()
    for key, value in changes.items():
        *blocks, last = key.split(".")
        node = config
        for block in blocks:
            node = node.setdefault(block, {})
        node[last] = value
    return Config.of(config).to_dict()


@pytest.mark.parametrize("name", shipped.names())
def test_every_config_of_ours_may_write_all_its_defaults_down(name, tmp_path):
    config = plain(name)
    whole = resolved(config)
    schema.check(Config.of(copy.deepcopy(whole)))  # each is a value that its block takes
    assert resolved(whole) == whole
    log.guard_config(tmp_path, config, bound=False)
    assert log.guard_config(tmp_path, whole, safe=()) == []
    log.guard_config(tmp_path, whole, bound=False)
    assert log.guard_config(tmp_path, config, safe=()) == []


# What the signatures say, by hand: a block, its key, its default, another value.
DEFAULTS = [
    ("digit_scenes/mae", "optimizer.stretch", 1.0, 0.5),
    ("digit_scenes/mae", "encoder.mlp_ratio", 4.0, 2.0),
    ("digit_scenes/mae", "encoder.class_token", True, False),
    ("digit_scenes/mae", "decoders.image.mlp_ratio", 4.0, 2.0),
    ("digit_scenes/mae", "log.images", 0, 7),
    ("digit_scenes/mae", "checkpoint.keep_every", 0, 8),
    ("digit_scenes/mae", "unreadable", 0.001, 0.1),
    ("digit_scenes/m3i", "captions.file", None, "words.json"),
    ("digit_scenes/m3i", "crops.flip", 0.5, 0.25),
    ("digit_scenes/m3i", "optimizer.end_lr", 0.0, 1.0),
    ("digit_scenes/m3i", "towers.text.mlp_ratio", 4.0, 2.0),
]


@pytest.mark.parametrize("name, key, default, other", DEFAULTS)
def test_a_default_is_no_change_and_another_value_is_refused_by_name(
    name, key, default, other, tmp_path
):
    *blocks, last = key.split(".")
    bare = plain(name)
    node = bare
    for block in blocks:
        node = node[block]
    node.pop(last, None)
    for one, two in ((bare, plain(name, **{key: default})), (plain(name, **{key: default}), bare)):
        log.guard_config(tmp_path, one, bound=False)
        assert log.guard_config(tmp_path, two, safe=()) == []
    log.guard_config(tmp_path, bare, bound=False)
    with pytest.raises(ConfigError, match=f"another config: {key} was absent, is now {other!r}"):
        log.guard_config(tmp_path, plain(name, **{key: other}), safe=())


def test_a_key_of_the_config_fills_those_of_its_blocks(tmp_path):
    config = plain("digit_scenes/mae")
    whole = resolved(config)
    assert whole["encoder"]["image"] == config["image"] and "image" not in config["encoder"]
    log.guard_config(tmp_path, config, bound=False)
    with pytest.raises(ConfigError, match="encoder.image was absent, is now 48"):
        log.guard_config(tmp_path, plain("digit_scenes/mae", **{"encoder.image": 48}))


# By hand: 1 − 20/steps, at most 0.995 and at most the end; as wide as what is predicted.
DECIDED = [
    ("digit_scenes/mae", "100 steps", "average.momentum", 0.8, 0.7),
    ("digit_scenes/mae", "8000 steps", "average.momentum", 0.995, 0.9),
    ("digit_scenes/byol", "100 steps", "decoders.predictor.out", 64, None),
    ("digit_scenes/m3i", "50 steps", "target.momentum", 0.6, 0.5),
    ("digit_scenes/m3i", "8000 steps", "target.momentum", 0.995, 0.9),
]


@pytest.mark.parametrize("name, duration, key, taken, other", DECIDED)
def test_what_a_run_decides_is_no_change_when_it_is_written_out(
    name, duration, key, taken, other, tmp_path
):
    bare = plain(name, duration=duration, warmup="0 steps")
    assert _under(bare, key) is None
    written = plain(name, duration=duration, warmup="0 steps", **{key: taken})
    runs = [assemble.assemble(Config.of(config), images=1000) for config in (bare, written)]
    assert of_run(runs[0])[key] == pytest.approx(taken, rel=1e-12)
    for decided in map(of_run, runs):
        for one, two in ((bare, written), (written, bare)):
            log.guard_config(tmp_path, one, bound=False)
            assert log.guard_config(tmp_path, two, safe=(), of_run=decided) == []
    if other is not None:
        log.guard_config(tmp_path, bare, bound=False)
        changed = plain(name, duration=duration, warmup="0 steps", **{key: other})
        with pytest.raises(ConfigError, match=f"{key} was absent, is now {other}"):
            log.guard_config(tmp_path, changed, safe=(), of_run=of_run(runs[0]))


def _under(config, key):
    for name in key.split("."):
        config = config.get(name, None) if config else None
    return config


def test_old_work_directories_are_read(tmp_path):
    """Without keys that came later, with names of before, and with blocks that nobody knows."""
    config = plain("digit_scenes/mae")
    old = json.loads(json.dumps(config))
    del old["validation"], old["init_from"], old["unreadable"]
    (tmp_path / log.CONFIG).write_text(json.dumps(old))
    assert log.guard_config(tmp_path, config, safe=session.MAY_CHANGE) == []
    (tmp_path / log.CONFIG).write_text(json.dumps(old | {"encoder": {"name": "of before"}}))
    with pytest.raises(ConfigError, match="encoder.name was 'of before', is now 'vit"):
        log.guard_config(tmp_path, config, safe=session.MAY_CHANGE)
