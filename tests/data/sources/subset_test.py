"""Records spread over a source, whatever the order of its classes."""

import numpy as np
import pytest

from m3i_jax.data.sources import subset
from m3i_jax.data.sources.subset import covering, spread


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

    def captions(self):
        return (f"caption {i}" for i in range(self.total))


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


@pytest.mark.parametrize("count", [40, 41, 100, 399])
def test_every_class_has_a_record_where_there_is_room(count):
    """Ten classes have 300 records each, thirty have one: a spread part lacks most of these."""
    source = Numbers(3030)
    source.labels = np.concatenate([np.arange(10, 40), np.repeat(np.arange(10), 300)])
    source.labels[[50, 2000]] = -1
    source.labels = source.labels[np.random.default_rng(0).permutation(3030)]
    some, plain = covering(source, count), chosen(3030, count)
    found = np.array([some[i] for i in range(len(some))])
    assert len(set(found)) == count and (np.diff(found) > 0).all()
    counts = np.bincount(source.labels[found] + 1, minlength=41)[1:]
    assert (counts >= 1).all() and (counts[10:] == 1).all()
    assert len(set(source.labels[plain].tolist())) < 40, "else this shows nothing"
    # Large classes keep their shares, but for what the small ones have taken of the largest.
    before = np.bincount(source.labels[plain] + 1, minlength=41)[1:11]
    assert counts[:10].max() <= before.max() and (counts[:10] <= before).all() or count < 42


def test_more_classes_than_records_and_no_labels_change_nothing_but_what_can_be():
    source = Numbers(100)
    assert covering(source, 7)._chosen.tolist() == chosen(100, 7).tolist()  # no labels
    source.labels = np.arange(100) // 2
    found = source.labels[covering(source, 20)._chosen]
    assert len(found) == 20 == len(set(found.tolist()))
    source.labels = np.full(100, -1)
    assert covering(source, 7)._chosen.tolist() == chosen(100, 7).tolist()


def test_captions_are_those_of_the_chosen_records():
    some = spread(Numbers(500), 70)
    assert list(some.captions()) == [f"caption {some[i]}" for i in range(70)]


class Files(Numbers):
    def encoded(self, i):
        return bytes([i])


def test_encoded_images_are_those_of_the_chosen_records():
    some = spread(Files(200), 20)
    assert [some.encoded(i)[0] for i in range(20)] == [some[i] for i in range(20)]
    assert not hasattr(spread(Numbers(5), 3), "encoded")
