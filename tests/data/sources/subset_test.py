"""Records spread over a source, whatever the order of its classes."""

import numpy as np
import pytest

from m3i_jax.data.sources import subset
from m3i_jax.data.sources.subset import spread


class Numbers:
    name = "numbers"

    def __init__(self, total):
        self.total = total

    def __len__(self):
        return self.total

    def __getitem__(self, i):
        return i

    def read(self, i):
        return None if i % 2 else i

    def where(self, i):
        return f"record {i}"


def chosen(total, count):
    some = spread(Numbers(total), count)
    return np.array([some[i] for i in range(len(some))])


SIZES = [(500, 300), (500, 499), (500, 200), (2000, 200), (20000, 5000), (7, 9), (67, 66), (3, 1)]


@pytest.mark.parametrize("total, count", SIZES)
def test_records_are_different_in_order_and_spread(total, count):
    found, number = chosen(total, count), min(count, total)
    assert len(found) == number and (np.diff(found) > 0).all() and found[-1] < total
    assert (chosen(total, count) == found).all()
    # Of any first records there are as many as their share says, to a block.
    upto = np.searchsorted(found, np.arange(total + 1))
    assert np.abs(upto - np.arange(total + 1) * number / total).max() <= subset.BLOCK


def test_of_nothing_there_is_nothing():
    assert len(spread(Numbers(0), 5)) == 0


@pytest.mark.parametrize("total, count", [(500, 300), (500, 200), (2000, 200), (20000, 5000)])
@pytest.mark.parametrize("period", [2, 10])
def test_classes_that_take_turns_keep_their_shares(total, count, period):
    """Every n-th record of 500 whose ten classes take turns had 0 to 66 of 20 in a class."""
    counts = np.bincount(chosen(total, count) % period, minlength=period)
    right, deviation = count / period, np.sqrt(count / period * (1 - 1 / period))
    assert (np.abs(counts - right) < 3.5 * deviation).all()


def test_classes_in_order_keep_their_shares():
    counts = np.bincount(chosen(4000, 1000) // 1000)
    assert (np.abs(counts - 250) <= subset.BLOCK / 4).all()


def test_records_keep_their_names_and_their_faults():
    some = spread(Numbers(10), 10)
    assert some.read(3) is None and some.read(4) == 4
    assert some.where(2) == "record 2" and some.name == "numbers" and len(some) == 10
