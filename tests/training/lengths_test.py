"""Lengths: a number and its unit."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training import schema
from m3i_jax.training.config import Config
from m3i_jax.training.lengths import due, parse

IMAGENET = 1281167


@pytest.mark.parametrize(
    "length, steps",
    [
        ("5000 steps", 5000),
        ("1 step", 1),
        ("1600 epochs", 500456),  # 1600 * 1281167 / 4096 = 500455.9
        ("40 epochs", 12511),  # 12511.4
        ("3.5 epochs", 1095),  # 1094.7
        ("1 epoch", 313),
        ("2e6 samples", 488),  # 488.3
        ("1 sample", 1),  # never none at all
        ("5 percent", 50),
        ("0 percent", 0),
        ("0 steps", 0),
        ("100 percent", 1000),
    ],
)
def test_lengths_in_every_unit(length, steps):
    assert parse(length, batch=4096, epoch=IMAGENET, total=1000) == steps


@pytest.mark.parametrize(
    "length, message",
    [
        ("40 epocs", "did you mean '40 epochs'"),
        ("10 iterations", "did you mean '10 steps'"),
        ("50%", "did you mean '50 percent'"),
        ("40epochs", "did you mean '40 epochs'"),
        ("1,600 epochs", "did you mean '1600 epochs'"),
        ("10 Epochs", "did you mean '10 epochs'"),
        ("10_epochs", "did you mean '10 epochs'"),
        ("10 hours", "percent, minutes$"),
        ("70", "70 what\\? '70 epochs' or '70 steps'"),
        ("1.5ep", "did you mean '1.5 epochs'"),
        ("forty epochs", "is not a length"),
        ("4 0 epochs", "is not a length"),
        ("-1 steps", "is not a length"),
        ("nan epochs", "is not a length"),
        ("1e999 steps", "is not a length"),
        ("1.5 steps", "not a whole number"),
        ("101 percent", "more than the whole run"),
        ("", "is not a length"),
    ],
)
def test_bad_lengths_are_refused(length, message):
    with pytest.raises(ConfigError, match=message):
        parse(length, batch=4, epoch=8, total=10)


def test_units_ask_for_what_they_need():
    for length, name in (("1 epochs", "batch"), ("1 samples", "batch"), ("1 percent", "total")):
        with pytest.raises(ConfigError, match=f"needs the {name} size"):
            parse(length)
    with pytest.raises(ConfigError, match="needs the epoch size"):
        parse("1 epochs", batch=4)


@pytest.mark.parametrize("key", ["duration", "warmup", "validation.every"])
@pytest.mark.parametrize(
    "value, sentence",
    [
        (10, "is 10, expected a number and .* 10 what\\? '10 epochs' or '10 steps'"),
        (2.5, "is 2.5, .* 2.5 what"),
        ("10", "is '10', .* 10 what"),
        ("40epochs", "is '40epochs', .*did you mean '40 epochs'"),
        (None, "is None, expected text"),
        (True, "is True, expected text"),
    ],
)
def test_a_number_alone_is_asked_for_its_unit_in_every_length_of_a_config(key, value, sentence):
    config = dict(batch=8, duration="9 steps", data={"name": "digit_scenes"})
    config |= dict(encoder={"name": "vit_b16"}, objective={"name": "mae"})
    config |= dict(optimizer={"name": "adamw", "lr": 0.1})
    block, _, inner = key.partition(".")
    config[block] = {inner: value} if inner else value
    with pytest.raises(ConfigError, match=f"config.{key} {sentence}"):
        schema.check(Config.of(config))


def test_zero_is_never_due():
    assert not due(10, 0) and due(10, 5) and not due(11, 5)
