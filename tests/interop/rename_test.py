"""The engine of the tables: numbers in names, stacks, parts, prefixes; and what has no place."""

import numpy as np
import pytest

from m3i_jax.interop.rename import (
    SAME,
    Layout,
    Rule,
    Transform,
    listed,
    nested,
    sort,
    to_ours,
    to_theirs,
    under,
)

PAIR = Transform(lambda a, b: np.concatenate([a, b]), lambda x: tuple(np.split(x, 2)))
LAYOUT = Layout(
    "test",
    (
        Rule("stages_{i}/blocks/large", ("s{i+1}.{2b}.w",)),
        Rule("stages_{i}/blocks/mlp", ("s{i+1}.{2b+1}.w",)),
        Rule("stages_{i}/blocks_{j}/k", ("t{i}.{j}",)),
        Rule("blocks/qk", ("b.{b}.q", "b.{b}.k"), PAIR),
        Rule("same/{path}", ("same.{path}",)),
        Rule("token", ("token",), SAME),
    ),
    drops=(r"head\..*",),
    prefixes=("", "net."),
    omitted="secret",
)


def numbered(*names):
    return {name: np.full(2, i, np.float32) for i, name in enumerate(names, 1)}


STATE = numbered(
    *(f"s{i}.{n}.w" for i in (1, 2) for n in range(4)),
    "t0.0",
    "t0.1",
    "b.0.q",
    "b.0.k",
    "b.1.q",
    "b.1.k",
    "same.any.thing",
    "token",
)


def test_every_key_has_its_place_and_goes_back_to_it():
    places = sort(STATE, LAYOUT)
    assert not places.unknown and not places.dropped
    found = to_ours(STATE, places)
    assert set(found) == {
        "stages_0/blocks/large", "stages_0/blocks/mlp", "stages_1/blocks/large",
        "stages_1/blocks/mlp", "stages_0/blocks_0/k", "stages_0/blocks_1/k", "blocks/qk",
        "same/any.thing", "token",
    }  # fmt: skip
    # s1.0, s1.2 are large blocks 0 and 1 of stage 0; s2.1, s2.3 the MLPs of stage 1.
    np.testing.assert_array_equal(found["stages_0/blocks/large"], [[1, 1], [3, 3]])
    np.testing.assert_array_equal(found["stages_1/blocks/mlp"], [[6, 6], [8, 8]])
    np.testing.assert_array_equal(found["blocks/qk"], [[11, 11, 12, 12], [13, 13, 14, 14]])
    state, unknown = to_theirs(found | {"secret": np.ones(1)}, LAYOUT)
    assert not unknown and state.keys() == STATE.keys()
    for name, x in STATE.items():
        np.testing.assert_array_equal(state[name], x)


def test_prefixes_drops_and_half_precision():
    state = {f"net.{k}": x.astype(np.float16) for k, x in STATE.items()} | {
        "net.head.weight": np.ones(2)
    }
    places = sort(state, LAYOUT)
    assert places.dropped == ("net.head.weight",) and not places.unknown
    assert all(x.dtype == np.float32 for x in to_ours(state, places).values())


def test_numbers_that_no_sum_gives_are_unknown():
    assert sort(numbered("s0.0.w"), LAYOUT).unknown == ("s0.0.w",)  # i + 1 = 0


@pytest.mark.parametrize(
    "left_out, blamed",
    [("b.0.k", {"b.0.q", "b.1.q", "b.1.k"}), ("s1.0.w", {"s1.2.w"}), ("token", set())],
)
def test_a_part_without_the_others_and_a_gap_are_unknown(left_out, blamed):
    places = sort([name for name in STATE if name != left_out], LAYOUT)
    assert set(places.unknown) == blamed


def test_two_sources_of_one_leaf():
    rules = (Rule("a", ("a.new",)), Rule("a", ("a.old",)))
    layout = Layout("two", rules)
    assert sort(["a.old"], layout).leaves["a"][0] == rules[1]
    assert set(sort(["a.new", "a.old"], layout).unknown) == {"a.old"}
    assert to_theirs({"a": np.ones(1)}, layout)[0].keys() == {"a.new"}


def test_what_has_no_name_there_is_returned():
    state, unknown = to_theirs({"token": np.ones(1), "b": np.ones(1), "a": np.ones(1)}, LAYOUT)
    assert set(unknown) == {"a", "b"} and set(state) == {"token"}


def test_a_rule_may_hide_one_number_only():
    with pytest.raises(ValueError, match="hides the numbers"):
        sort(["x.1.2"], Layout("bad", (Rule("x", ("x.{a}.{b}",)),)))


def test_helpers():
    assert under([Rule("a", ("b",))], ours="o/", theirs="t.") == (Rule("o/a", ("t.b",)),)
    assert nested({"a/b": 1, "a/c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert listed([f"{i:02}" for i in range(14)]).endswith("10, 11 and 2 more")
