"""Ranges: what they hold, and how they read."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from m3i_jax import ranges
from m3i_jax.ranges import Ascending, Range


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


Share = Annotated[float, Range(0, 1)]


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Annotated[int, Range(1, 64)] | None, "int, 1 to 64; or None"),
        (ranges.Memory, "float, 0 or more and less than 1: at 1 a mean of the past never moves"),
        (
            Annotated[tuple[Share, Share], Ascending()],
            "2 of (float, 0 to 1), numbers in ascending order",
        ),
        (tuple[str, Share], "[(text), (float, 0 to 1)]"),
        (str | tuple[str, ...], "text; or a list of (text)"),
        (dict[str, Share], "a block of (float, 0 to 1)"),
        (str | dict | bool, "text; a block; or True or False"),
        (Callable[..., Any], ""),
        (Range | None, ""),
        (Any, ""),
    ],
)  # fmt: skip
def test_an_annotation_reads_as_what_a_config_can_say(annotation, said):
    assert ranges.described(annotation) == said
