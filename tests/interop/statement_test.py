"""Values of others' keys as ours, or a sentence with the key in it."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import statement
from m3i_jax.interop.statement import Fact, Stated
from m3i_jax.nn.activations import ACTIVATIONS
from m3i_jax.normalize import CHANNELS


def test_every_activation_of_ours_has_a_name_of_others_and_no_other():
    assert set(statement.ACTIVATIONS.values()) == set(ACTIVATIONS)
    assert statement.activation("GELU_New", "it") == "gelu_tanh"


@pytest.mark.parametrize(
    "read, value, want",
    [
        (statement.sides, 32, (32, 32)),
        (statement.sides, [32, 64], (32, 64)),
        (statement.sides, {"width": 64, "height": 32}, (32, 64)),
        (statement.side, [8, 8], 8),
        (statement.counts, [2, 0], (2, 0)),
        (statement.count, 3, 3),
        (statement.number, 1, 1.0),
        (statement.truth, False, False),
        (statement.image_channels, 1, 1),
    ],
)
def test_values_are_read(read, value, want):
    assert read(value, "it") == want


@pytest.mark.parametrize(
    "read, value",
    [
        (statement.activation, "relu6"),
        (statement.activation, ["gelu"]),
        (statement.sides, [1, 2, 3]),
        (statement.sides, 0),
        (statement.sides, "32"),
        (statement.sides, {"shortest_edge": 3}),
        (statement.side, [8, 16]),
        (statement.counts, 2),
        (statement.counts, [2, -1]),
        (statement.count, True),
        (statement.count, 2.0),
        (statement.number, 0),
        (statement.number, "1e-6"),
        (statement.number, float("nan")),
        (statement.number, float("inf")),
        (statement.truth, "false"),
        (statement.truth, None),
        (statement.truth, 0),
        (statement.image_channels, 4),
        (statement.image_channels, True),
        (statement.image_channels, None),
    ],
)
def test_what_is_no_such_value_is_refused_with_its_key(read, value):
    with pytest.raises(ConfigError, match="config.json's key is "):
        read(value, "config.json's key")


def test_normalisations_have_names_where_ours_have():
    for name, pair in CHANNELS.items():
        assert statement.named(statement.channels(*map(list, pair), "it"), CHANNELS) == name
    white = statement.channels([51, 51, 51], [102.0], "it", scale=255)
    assert white == ((0.2, 0.2, 0.2), (0.4, 0.4, 0.4))
    assert statement.named(white, CHANNELS) == white
    for mean, std in (([0, 0], [1]), (["0"], [1]), ([0], [0]), ([0], [True]), (None, [1]),
                      ([float("nan")], [1]), ([0], [float("inf")])):  # fmt: skip
        with pytest.raises(ConfigError, match="it "):
            statement.channels(mean, std, "it")


def test_keys_that_nobody_knows_are_refused_unless_they_are_off():
    off = {"a": None, "b": False, "c": 0, "d": "", "e": [], "f": {}, "known": 3, "harmless": 4}
    statement.check_rest(off, {"known"}, "it", harmless={"harmless"})
    with pytest.raises(ConfigError, match="it says x=1, y='z', which no encoder of ours has"):
        statement.check_rest(off | {"y": "z", "x": 1}, {"known"}, "it", harmless={"harmless"})


def test_what_nobody_knows_and_nothing_needs_is_said_to_be_ignored():
    assert statement.ignored({"a": 1, "b": None}, {"a"}, "it") == ()
    assert statement.ignored({"c": 1, "a": 2}, {}, "it") == (
        "it: ignored, of no meaning here: a, c",
    )


def test_facts_are_added_over_those_before():
    stated = Stated(image={"eps": Fact(1, "a"), "heads": Fact(2, "b")}).but(eps=Fact(3, "c"))
    assert stated.fields() == {"eps": 3, "heads": 2}
