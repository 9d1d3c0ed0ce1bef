"""The name that was meant is found: by slips of the finger, by other words, in other blocks."""

import random
import string

import pytest

from m3i_jax import spelling

CONFIG = (
    "batch duration data encoder objective optimizer seed image dtype accumulate warmup epoch_size "
    "threads unreadable crops captions augment towers decoders target average weights init_from "
    "weighting mesh log checkpoint monitor"
).split()
OPTIMIZER = (
    "name lr base_lr schedule end_lr no_decay clip layer_decay lr_scale freeze late b1 b2 eps "
    "weight_decay weight_decay_end"
).split()


@pytest.mark.parametrize(
    "written, names, meant",
    [
        ("learning_rate", OPTIMIZER, "lr"),
        ("wd", OPTIMIZER, "weight_decay"),
        ("wieght_decay", OPTIMIZER, "weight_decay"),
        ("Base-LR", OPTIMIZER, "base_lr"),
        ("nmae", OPTIMIZER, "name"),
        ("nmae", ["name", "image"], "name"),
        ("nmae", ["image"], None),
        ("batch_size", CONFIG, "batch"),
        ("epochs", CONFIG, "duration"),
        ("warmup_epochs", CONFIG, "warmup"),
        ("img_size", CONFIG, "image"),
        ("bacth", CONFIG, "batch"),
        ("erase", ["erasing", "generator"], "erasing"),
        ("drop_path_rate", ["drop_path", "dtype"], "drop_path"),
        ("zzz", CONFIG, None),
        ("", CONFIG, None),
    ],
)
def test_the_likeliest_name(written, names, meant):
    assert spelling.likeliest(written, names) == meant


def test_it_is_said_as_the_end_of_a_sentence():
    assert spelling.nearest("bacth", CONFIG) == "; did you mean 'batch'?"
    assert spelling.nearest("zzz", ["b", "a"]) == "; there are: a, b"
    assert spelling.nearest("zzz", []) == "; there are: none"
    many = spelling.nearest("zzz", [f"name{i}" for i in range(1000)])
    assert many.endswith(", …") and len(many) < 500


def test_names_of_other_blocks_are_known():
    there = ["width", "name"]
    for written in ("lr", "learning_rate", "LearningRate", "optimizer_lr"):
        said = spelling.meant(written, there, block="config.encoder")
        assert said == "; did you mean config.optimizer.lr?"
    said = spelling.meant("batch_size", there, block="config.encoder")
    assert said == "; did you mean config.batch?"
    said = spelling.meant("zzz", there, block="config.encoder")
    assert said == "; there are: name, width"


def slip(rng, name):
    """A name with one letter inserted, deleted, replaced, or swapped with its neighbour."""
    at, letter = rng.randrange(len(name)), rng.choice(string.ascii_lowercase + "_")
    return rng.choice([
        name[:at] + letter + name[at:],
        name[:at] + name[at + 1 :],
        name[:at] + letter + name[at + 1 :],
        name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :] if at else letter + name,
    ])  # fmt: skip


@pytest.mark.parametrize("names", [CONFIG, OPTIMIZER], ids=["config", "optimizer"])
def test_one_slip_is_forgiven(names):
    rng, right, total = random.Random(0), 0, 0
    for _ in range(1000):
        name = rng.choice(names)
        written = slip(rng, name)
        if written not in names:
            total += 1
            right += spelling.likeliest(written, names) == name
    assert right >= 0.95 * total, f"{right} of {total}"


def test_a_hint_is_never_the_key_that_was_refused():
    vit, swin = {"encoder": {"name": "vit_b16"}}, {"encoder": {"name": "swin_v2_t"}}
    said = spelling.meant("patch", ["width"], block="config.optimizer", config=vit)
    assert said == "; did you mean config.encoder.patch?"
    for config in (swin, {}, None):  # no such key, or nobody knows
        said = spelling.meant("patch", ["width"], block="config.optimizer", config=config)
        assert said == "; there are: width"
    said = spelling.meant("patch", ["width"], block="config.encoder", config=swin)
    assert said == "; there are: width"
    assert "did you mean" not in spelling.meant("root", ["length"], block="config.data")


@pytest.mark.parametrize(
    "written, names",
    [
        ("weightDecay", ["no_decay", "weight_decay"]),
        ("WEIGHT-DECAY", ["no_decay", "weight_decay"]),
        ("weight decay", ["no_decay", "weight_decay"]),
        ("decay_weight", ["no_decay", "weight_decay"]),
    ],
)
def test_case_underscores_and_order_say_nothing(written, names):
    assert spelling.likeliest(written, names) == "weight_decay"


@pytest.mark.parametrize("name", ["ä", "%", "_", " ", "'", "x" * 10**5, "патч", "a.b.c", "\ud800"])
def test_anything_can_be_written(name):
    assert spelling.nearest(name, ["width", "depth"]) == "; there are: depth, width"
    assert spelling.meant(name, ["width", "depth"]) == "; there are: depth, width"
