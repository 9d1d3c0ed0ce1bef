"""Broken records are counted over all parts of a split, and too many end the work."""

import numpy as np
import pytest

from m3i_jax.data.prepare.parts import parts
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.prepare.tally import Passing, Tally
from m3i_jax.data.sources.manifest import Stored
from m3i_jax.data.sources.record import Record
from m3i_jax.data.sources.unreadable import TooManyUnreadable


def test_rows_pass_and_their_seal_says_what_they_were():
    (part,) = parts("train", range(4), count=1, seed=None)
    rows = [
        Row(0, "a", Record(b"x", 3, ("text",)), copied=True),
        Row(1, "b", broken="no image"),
        Row(2, "c", Record(b"x"), left_out="a line"),
        Row(3, "d", Record(b"x", 1)),
    ]
    passing = Passing(part, rows, Tally(0.5))
    assert list(passing) == rows
    seal = passing.seal(Stored("f", 3, 9, "ab"))
    assert seal.labels == [3, -1, 1] and (seal.captioned, seal.copied) == (1, 1)
    assert seal.broken == [[1, "b", "no image"]] and seal.left_out == [[2, "c", "a line"]]
    assert passing.captions == [("text",), (), ()]
    assert (seal.records, seal.bytes, seal.sha256) == (3, 9, "ab")


def test_one_is_forgiven_and_a_share_of_each_split():
    part, *_ = parts("train", range(100), count=4, seed=None)
    other = part._replace(split="test", source=np.arange(10))
    tally = Tally(0.02)
    tally.add(part, ["first", "second"])
    tally.add(other, ["one of ten"])
    with pytest.raises(TooManyUnreadable, match="3 of 100 .* 2 that --unreadable=0.02"):
        tally.add(part, ["third"])
    with pytest.raises(TooManyUnreadable, match="1 of 10 "):
        Tally(0).add(other, ["one"])
