"""What was trained, in words: facts, and settings against the signatures of what takes them."""

import inspect
from pathlib import Path

import pytest

from m3i_jax import encoders
from m3i_jax.analysis.report import settings
from m3i_jax.analysis.report.material import Run
from m3i_jax.training.config import Config
from tests.analysis.report.places import CONFIG

STARTS = [
    {"step": 0, "total": 40, "time": "2026-01-02T03:04:05+00:00"},
    {
        "step": 20,
        "total": 40,
        "time": "2026-01-02T04:04:05+00:00",
        "command": "m3i pretrain --a=b",
        "devices": 4,
        "processes": 2,
        "processors": 8,
        "machine": "Linux x86_64",
        "versions": {"jax": "9.9", "device": "abc"},
    },
]


def test_facts_say_what_one_wants_to_know_first():
    facts = settings.facts(Run("a", Path("/"), CONFIG, [{"step": 30}], STARTS))
    assert facts["Method"].startswith("mae: Masked autoencoder")
    assert facts["Encoder"] == "vit_nano, patch 8"
    assert facts["Data"] == "digit_scenes, images of 32 px"
    assert facts["Length"] == "40 steps of 8 images (320 images) · now at step 30 of 40"
    assert facts["Optimiser"] == "adamw, learning rate 0.001, seed 0"
    assert facts["Machine"] == "4 × abc, 2 processes, 8 processors, Linux x86_64"
    assert facts["Versions"] == "jax 9.9" and facts["Command"] == "m3i pretrain --a=b"
    assert facts["Started"] == "2026-01-02 03:04:05 UTC, and went on 1 time"


def test_what_is_held_out_is_said_of_the_data_it_is_of():
    data = {"name": "held_out", "share": 0.2, "of": {"name": "image_folder", "root": "photos"}}
    facts = settings.facts(Run("a", Path("/"), {"data": data, "image": 32}))
    assert facts["Data"] == "image_folder, root photos, images of 32 px, 0.2 of it held out"


def test_only_what_is_known_is_said():
    assert settings.facts(Run("a", Path("/"))) == {}
    assert settings.total(Run("a", Path("/"), {"duration": "40 steps"})) == 40
    assert settings.total(Run("a", Path("/"), {"duration": "3 epochs"})) is None
    assert settings.total(Run("a", Path("/"), {}, (), STARTS)) == 40


def test_settings_are_those_that_differ_from_the_signature():
    found = settings.changed(CONFIG | {"seed": 7, "optimizer": {"name": "adamw", "b2": 0.5}})
    default = inspect.signature(Config).parameters["seed"].default
    assert found["seed"] == settings.Setting("7", str(default), found["seed"].meaning)
    assert "random" in found["seed"].meaning and "image" in found
    patch = inspect.signature(encoders.variant("vit_nano")).parameters["patch"].default
    assert (found["encoder.patch"].value, found["encoder.patch"].default) == ("8", str(patch))
    assert found["optimizer.b2"].value == "0.5" and found["optimizer.name"].value == "adamw"
    assert found["log.every"].default == "50"
    assert "objective.hidden" not in found  # 0.75 is the method's own


def test_the_whole_of_a_config_has_the_defaults_of_its_blocks_alone():
    whole = settings.whole(CONFIG)
    assert whole["objective.hidden"] == "0.75" and whole["image"] == "32"
    assert whole["log.images"] == "0" and "objective.text_weight" not in whole
    assert not any(key.startswith("towers.") for key in whole)


@pytest.mark.parametrize(
    "odd",
    [
        {"optimizer": {"name": "unknown", "x": {"y": 1}}},
        {"encoder": {"patch": 8}},
        {"objective": 3, "towers": [1], "data": None},
        {"log": {"every": 1, "gone": 2}},
    ],
)
def test_blocks_of_other_versions_are_shown_as_they_are(odd):
    found = settings.changed(CONFIG | odd)
    assert found["batch"].value == "8"
    facts = settings.facts(Run("a", Path("/"), CONFIG | odd))
    assert "Length" in facts
    if "optimizer" in odd:
        assert found["optimizer.x.y"].value == "1"
    if "gone" in odd.get("log", {}):
        assert found["log.gone"].value == "2"
