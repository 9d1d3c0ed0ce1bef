"""Paths, ordered rules, sub-trees."""

import numpy as np
import pytest

from m3i_jax import trees

TREE = {"a": {"kernel": np.ones((2, 3)), "bias": np.ones(3)}, "b": {"kernel": np.ones(4)}}


def test_leaves_are_named_by_their_path():
    assert [n for n, _ in trees.named_leaves(TREE)] == ["a/bias", "a/kernel", "b/kernel"]
    shouted = trees.map_with_name(lambda name, x: name.upper(), TREE)
    assert shouted["a"]["bias"] == "A/BIAS"


def test_first_rule_wins_and_no_rule_is_an_error():
    rules = [("bias$", 1), ("^a/", 2), (".*", 3)]
    assert [trees.first_match(rules, n) for n in ("a/bias", "a/kernel", "b/kernel")] == [1, 2, 3]
    with pytest.raises(ValueError, match="no rule matches parameter 'b/kernel'"):
        trees.first_match(rules[:2], "b/kernel")


def test_select_and_overlay_are_each_others_inverse():
    part = trees.select(TREE, "kernel$")
    assert part.keys() == {"a", "b"} and part["a"].keys() == {"kernel"}
    changed = trees.overlay(TREE, {"a": {"kernel": 0}})
    assert changed["a"]["kernel"] == 0 and changed["a"]["bias"] is TREE["a"]["bias"]
    assert TREE["a"]["kernel"].shape == (2, 3), "overlay leaves its argument alone"
    assert trees.overlay(TREE, part)["b"]["kernel"] is TREE["b"]["kernel"]
    assert trees.select(TREE, "nothing") == {}


def test_count_adds_sizes():
    assert trees.count(TREE) == 6 + 3 + 4
