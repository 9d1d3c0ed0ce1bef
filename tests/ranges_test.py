"""Ranges: what they hold, and how they read."""

import math

import pytest

from m3i_jax.ranges import Range


@pytest.mark.parametrize(
    ("given", "inside", "outside"),
    [
        (Range(0, 1), (0, 0.5, 1), (-1e-9, 1 + 1e-9, math.inf)),
        (Range(0, 1, above=True, below=True), (1e-9, 0.5), (0, 1)),
        (Range(0, above=True), (1e-300, 1e300), (0, -1)),
        (Range(1), (1, 10**9), (0, -3)),
        (Range(high=0, below=True), (-1,), (0, 1)),
    ],
)
def test_a_range_holds_what_is_inside_and_its_ends_unless_left_out(given, inside, outside):
    assert all(given.holds(x) for x in inside)
    assert not any(given.holds(x) for x in outside)
    assert not given.holds(math.nan)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Range(0, 1), "0 to 1"),
        (Range(0, 1, below=True, why="a share"), "0 or more and less than 1: a share"),
        (Range(0, above=True), "more than 0"),
        (Range(1), "1 or more"),
        (Range(high=2), "at most 2"),
    ],
)
def test_a_range_reads_as_the_end_of_a_sentence(given, said):
    assert str(given) == said
