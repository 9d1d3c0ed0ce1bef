"""Every sentence that advises a setting is taken at its word: doing so leads on."""

import ast
import collections
import copy
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import m3i_jax
from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.training import advice, assemble, restoring, session
from m3i_jax.training.config import Config

SETTING = re.compile(r"config\.([\w.]+?)(?:=| to )({[^}]*}|\[[^\]]*\]|[\w.']+)")
ALONE = {"name": "m3i", "category": False, "text": False}
COMBINED = {"name": "combine", "methods": {"one": ALONE, "two": {**ALONE, "hidden": 0.25}}}


def changed(config, changes):
    config = copy.deepcopy(config)
    for path, value in changes.items():
        node, (*inner, last) = config, path.split(".")
        for name in inner:
            node = node.setdefault(name, {})
        node[last] = value
    return config


def settings(sentence):
    """{path: value} of what a sentence says is to be set."""
    said = sentence[sentence.rindex("set config.") :]
    return {path: ast.literal_eval(value) for path, value in SETTING.findall(said)}


ADVISED = {  # of the source files that say "set config.": what makes them say it
    "weighting": ("digit_scenes/m3i", {"objective.category": False, "objective.text": False}),
    "mix_group": ("digit_scenes/m3i:images", {"accumulate": 16, "batch": 48}),
    "mix_group of a combination": (
        "digit_scenes/m3i:images",
        {"objective": COMBINED, "target": {}, "accumulate": 16, "batch": 48},
    ),
    "width of the categories": (
        "digit_scenes/classification",
        {"decoders.category": {"name": "pooled"}, "towers.category.width": 8},
    ),
    "cells of histograms": ("digit_scenes/maskfeat", {"target.cell": 6}),
    "clip": ("digit_scenes/mae", {"optimizer.clip_by": "leaf", "optimizer.clip": None}),
}  # fmt: skip


@pytest.mark.parametrize("case", ADVISED)
def test_what_a_refusal_advises_is_accepted(case):
    name, changes = ADVISED[case]
    config = changed(cli.load(name).to_dict(), changes)
    one = jax.devices()[:1]
    for _ in range(2 if "combination" in case else 1):  # of each method
        with pytest.raises(ConfigError, match="set config") as refused:
            assemble.assemble(Config.of(config), images=5000, devices=one)
        found = settings(str(refused.value))
        assert found
        config = changed(config, found)
    assemble.assemble(Config.of(config), images=5000, devices=one)


def folder(root, *classes):
    for name in classes or (".",):
        (root / "train" / name).mkdir(parents=True, exist_ok=True)
        for i in range(4):
            picture = np.full((32, 32, 3), 40 * i, np.uint8)
            Image.fromarray(picture).save(root / "train" / name / f"{i}.png")
    return {"name": "image_folder", "root": str(root)}


class Started(Exception):
    """The run has come to its first state."""


@pytest.mark.parametrize("lacks", ["texts", "classes", "one class"])
def test_what_the_data_lacks_can_be_switched_off_as_the_sentence_says(lacks, tmp_path, monkeypatch):
    def start(*_, **__):
        raise Started

    monkeypatch.setattr(restoring, "start", start)
    classes = {"texts": map(str, range(10)), "classes": (), "one class": map(str, range(9))}[lacks]
    data = folder(tmp_path, *classes)
    config = changed(cli.load("digit_scenes/m3i").to_dict(), {"data": data, "batch": 8})
    for _ in range(2):  # flat folders have neither
        try:
            session.train(Config.of(config), tmp_path / "run")
        except ConfigError as error:
            config = changed(config, settings(str(error)))
        except Started:
            break
    with pytest.raises(Started):
        session.train(Config.of(config), tmp_path / "run")
    assert not (
        config["objective"]["text"] if lacks == "texts" else config["objective"]["category"]
    )


def test_what_cannot_be_switched_off_is_not_advised(tmp_path):
    data = folder(tmp_path)
    config = changed(cli.load("digit_scenes/clip").to_dict(), {"data": data, "batch": 8})
    with pytest.raises(ConfigError, match="or take an objective that reads none$"):
        session.train(Config.of(config), tmp_path / "run")
    alone = {"objective.category": False, "objective.image": False, "decoders.image": None}
    config = changed(cli.load("digit_scenes/m3i").to_dict(), alone)
    del config["decoders"]["image"]
    assert advice.switching_off(Config.of(config), "text", check=assemble.check) == ""


def test_every_place_that_advises_a_setting_is_tried_here():
    """A new sentence belongs on the list above."""
    root = Path(m3i_jax.__file__).parent
    said = collections.Counter()
    for file in sorted(root.rglob("*.py")):
        if count := len(re.findall(r"set (config\.|\{where\})", file.read_text())):
            said[file.relative_to(root).as_posix()] = count
    assert said == {
        "decoders/caption.py": 1,  # tests/decoders/caption_test.py
        "decoders/pooling.py": 1,
        "framework/descriptors.py": 1,
        "training/advice.py": 1,  # its docstring
        "training/agreement.py": 1,
        "training/assemble.py": 1,
        "training/deciding.py": 2,  # tests/training/deciding_test.py
        "training/frozen.py": 1,  # tests/training/frozen_test.py
        "training/optimizer.py": 1,
    }
