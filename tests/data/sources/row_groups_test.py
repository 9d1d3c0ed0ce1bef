"""Parts that are kept: how many bytes, and that each is read once however many ask."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from m3i_jax.data.sources.row_groups import Kept


def ten(key):
    return f"part {key}", 10


def test_the_oldest_goes_where_there_are_too_many():
    read = []

    def part(key):
        read.append(key)
        return key, 10

    kept = Kept(part, size=25)
    for key in (1, 2, 1, 3, 1, 2):
        assert kept[key] == key
    assert read == [1, 2, 3, 2]  # 3 took the place of 2, not of 1, which was asked for later
    large = Kept(part, size=5)
    read.clear()
    assert [large[key] for key in (1, 1, 2, 2, 1)] == [1, 1, 2, 2, 1] and read == [1, 2, 1]


def test_one_part_is_read_once_by_many_threads():
    count, gate = [], threading.Event()

    def part(key):
        count.append(key)
        gate.wait(5)
        return object(), 1

    kept = Kept(part)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(kept.__getitem__, 0) for _ in range(8)]
        gate.set()
        assert len({id(f.result()) for f in waiting}) == 1 and count == [0]


def test_an_error_is_raised_every_time_and_a_copy_is_empty():
    def part(key):
        raise ValueError(f"part {key} is broken")

    kept = Kept(part)
    for _ in range(2):
        with pytest.raises(ValueError, match="part 3 is broken"):
            kept[3]
    copy = pickle.loads(pickle.dumps(Kept(ten)))
    assert copy[1] == "part 1"
