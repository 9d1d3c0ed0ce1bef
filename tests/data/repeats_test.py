"""Repeats: as often as is asked in the mean, one more or less in each epoch, by seed and epoch."""

import concurrent.futures

import numpy as np
import pytest

from m3i_jax.data import repeats
from m3i_jax.data.repeats import Repeats

OFTEN = np.array([1.0, 1.25, 3.0, 1.999, 7.5, 1.0, 2.001])


def test_the_mean_over_epochs_is_what_is_asked_and_each_is_rounded():
    """Of 4000 epochs, to four standard errors of a coin; whole numbers are met in each."""
    found = np.stack([repeats.times(OFTEN, seed=3, epoch=e) for e in range(4000)])
    assert ((found == np.floor(OFTEN)) | (found == np.ceil(OFTEN))).all()
    part = OFTEN - np.floor(OFTEN)
    error = np.sqrt(part * (1 - part) / 4000)
    assert (np.abs(found.mean(0) - OFTEN) <= 4 * error).all() and (found[:, 2] == 3).all()
    # Records are rounded by themselves: no two go together.
    others = np.corrcoef(found[:, [1, 4]].T)[0, 1]
    assert abs(others) < 4 / np.sqrt(4000)


def test_what_is_drawn_is_the_same_for_ever():
    """Of seed and epoch alone: the numbers of the first runs, which go on with them."""
    assert repeats.times(np.full(12, 1.5), seed=5, epoch=2).tolist() == GOLDEN
    assert (
        repeats.times(OFTEN, seed=3, epoch=0).tolist()
        != repeats.times(OFTEN, seed=4, epoch=0).tolist()
    )


GOLDEN = [2, 2, 1, 1, 2, 2, 2, 2, 2, 2, 1, 2]


def test_positions_are_places_in_lists_of_all_records():
    lists, position = Repeats(OFTEN, seed=3), 0
    for epoch in range(5):
        wanted = np.repeat(np.arange(7), repeats.times(OFTEN, seed=3, epoch=epoch)).tolist()
        for place, record in enumerate(wanted):
            assert lists.place(position) == (epoch, place, len(wanted))
            assert lists.record(epoch, place) == record
            position += 1


def test_any_order_of_questions_and_any_threads_are_answered_alike():
    rng = np.random.default_rng(0)
    places = rng.integers(0, 5000, 400).tolist()
    ask = lambda lists, position: lists.place(position)  # noqa: E731
    one, many = Repeats(OFTEN, seed=3), Repeats(OFTEN, seed=3)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda p: ask(many, p), places))
    assert found == [ask(one, p) for p in places]


@pytest.mark.parametrize("often", [[0.5, 1], [1, np.nan], [np.inf]])
def test_less_than_once_is_refused(often):
    with pytest.raises(ValueError, match="shows some record less often than once"):
        Repeats(np.array(often), seed=0)
