"""What of a config nothing looks at is said by its name; what the recipes say is looked at."""

import copy
import logging
from types import SimpleNamespace

import pytest

from m3i_jax import cli
from m3i_jax.training import assemble, session, unused
from m3i_jax.training.config import Config
from tests import configs_test


def changed(name, **changes):
    config = copy.deepcopy(cli.load(name).to_dict())
    for path, value in changes.items():
        node, (*inner, last) = config, path.split("__")
        for part in inner:
            node = node.setdefault(part, {})
        node[last] = value
    return Config.of(config)


def sentences(name, **changes):
    config = changed(name, **changes)
    return unused.sentences(config, assemble.objective(config))


@pytest.mark.parametrize("name", configs_test.CONFIGS)
def test_every_config_of_ours_is_looked_at_whole(name):
    assert sentences(name) == []


HEAD = {"name": "mlp", "out": 8}
UNSEEN = {
    "config.towers.spare is there, but": ("mae", {"towers__spare": {"name": "vit_nano"}}),
    "config.decoders.spare is there, but": ("mae", {"decoders__spare": HEAD}),
    "config.decoders.idle is there, but": ("mae", {"decoders__idle": {"name": "linear"}}),
    "config.captions.length is 16, but the": ("mae", {"captions__length": 16}),
    "config.captions.file is 'x', but the": ("mae", {"captions__file": "x"}),
    "config.crops.local_size is 32, but": ("mae", {"crops__local_size": 32}),
    "config.crops.local_scale is [0.1, 0.2]": ("moco", {"crops__local_scale": (0.1, 0.2)}),
    "config.augment.local is there, but": ("mae", {"augment__local": {"blur": 0.5}}),
    "config.epoch_size is 640, but no": ("mae", {"epoch_size": 640, "duration": "9 steps"}),
    "config.average is {'momentum': 0.5}, b": ("moco", {"average__momentum": 0.5}),
    "config.objective.text_weight is 3.0": (
        "m3i",
        {"objective__text": False, "objective__text_weight": 3.0},
    ),
    "config.objective.mix_group is 2, but": (
        "m3i",
        {"objective__mix": False, "objective__mix_group": 2},
    ),
}


@pytest.mark.parametrize("said", UNSEEN)
def test_what_nothing_looks_at_is_named(said, caplog):
    name, changes = UNSEEN[said]
    config = changed(f"digit_scenes/{name}", **changes)
    session._require(SimpleNamespace(config=config, method=assemble.objective(config)))
    assert any(text.startswith(said) for text in caplog.messages), caplog.messages


@pytest.mark.parametrize(
    "name,changes",
    [
        ("mae", {"captions__length": 32, "crops__local_size": 96}),  # the defaults
        ("mae", {"target__normalization": "raw"}),
        ("clip", {"captions__length": 8}),
        ("dino", {"crops__local_size": 16, "augment__local": {"blur": 0.5}}),
        ("mae", {"epoch_size": 640, "duration": "2 epochs"}),
        ("moco", {"target__momentum": 0.5, "objective__size": 128}),
        ("mae", {"average__momentum": 0.5, "objective__hidden": 0.5}),
        ("m3i", {"objective__text_weight": 3.0, "objective__mix_group": 2}),
    ],
)
def test_what_is_looked_at_is_not_spoken_of(name, changes):
    assert sentences(f"digit_scenes/{name}", **changes) == []


def test_a_chain_of_heads_is_passed_through_as_a_whole():
    chain = {"decoders__first": HEAD, "decoders__image__input": "first"}
    assert sentences("digit_scenes/siamese_im") == []
    found = sentences("digit_scenes/mae", **chain)
    assert not any("decoders.first" in sentence for sentence in found)


def test_a_run_says_it_once(caplog, tmp_path, monkeypatch):
    class Opened(Exception):
        pass

    def read(*_, **__):
        raise Opened

    monkeypatch.setattr(session.reading, "read", read)
    config = cli.load("digit_scenes/mae").to_dict()
    config["decoders"]["idle"] = {"name": "linear"}  # cannot even be made
    with caplog.at_level(logging.WARNING), pytest.raises(Opened):
        session.train(Config.of(config), tmp_path)
    assert [r.getMessage() for r in caplog.records if "config." in r.getMessage()] == [
        "config.decoders.idle is there, but the objective never passes through it"
    ]
