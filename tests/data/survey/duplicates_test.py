"""Equal pixels within a split and across two, against a search pair by pair."""

import numpy as np

from m3i_jax.data.survey import duplicates
from m3i_jax.data.survey.split import looked_at
from tests.data.survey.look_test import Pixels


def split(values):
    """Images of one grey each; None is broken."""
    bad = ValueError("broken")
    images = [bad if v is None else np.full((2, 2, 3), v, np.uint8) for v in values]
    return looked_at(Pixels(*images), "train")


def test_all_pairs_are_found_and_broken_records_are_none():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 60, 50).tolist(), rng.integers(0, 60, 40).tolist()
    one[::7] = [None] * len(one[::7])
    found = duplicates.within(split(one))
    first = [(i, one.index(v)) for i, v in enumerate(one) if v is not None and one.index(v) < i]
    assert found.pairs == tuple((f"record {i}", f"record {j}") for i, j in first) != ()
    assert found.count == len(first)
    across = duplicates.across(split(one), split(other))
    both = [(i, one.index(v)) for i, v in enumerate(other) if v in one]
    assert across.pairs == tuple((f"record {i}", f"record {j}") for i, j in both) != ()


def test_nothing_has_no_duplicates():
    assert duplicates.across(split([None]), split([1])).count == 0
    assert duplicates.within(split([None])).count == 0
