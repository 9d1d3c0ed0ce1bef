"""Threads that read ahead: bounded, closed at once, and what stalls is said."""

import collections
import threading
import time

import numpy as np
import pytest

from m3i_jax.data import stream as streams
from m3i_jax.data.batches import batches
from m3i_jax.data.stream import Stream, Work, prefetch
from tests.data.numbered import CROPS, Numbered, equal, take


def test_errors_of_a_source_surface_with_their_type():
    class Broken(Numbered):
        def __getitem__(self, i):
            raise LookupError("no such shard")

    with pytest.raises(LookupError, match="no such shard"):
        take(Broken(4), 1)


def test_reading_ahead_is_bounded_and_closing_leaves_no_thread():
    class Counted(Numbered):
        reads = 0

        def __getitem__(self, i):
            type(self).reads += 1  # may lose counts under races, never gains any
            return super().__getitem__(i)

    before = threading.active_count()
    stream = batches(Counted(10), batch=2, seed=0, crops=CROPS, threads=2)
    next(stream)
    time.sleep(0.2)
    assert Counted.reads <= 2 * (1 + 1 + streams.AHEAD)  # handed out, in work, ahead
    stream.close()
    stream.close()
    assert threading.active_count() == before
    with pytest.raises(StopIteration):
        next(stream)


class Hanging(Numbered):
    """Reads of a dead disk: they hang from a certain record on, until the test lets them go."""

    def __init__(self, length, reads):
        super().__init__(length)
        self.left, self.gate = reads, threading.Event()

    def __getitem__(self, i):
        self.left -= 1
        if self.left < 0:
            self.gate.wait()
        return super().__getitem__(i)


def test_a_stream_that_hangs_ends_when_it_is_asked_to_and_closes_at_once():
    source, asked = Hanging(50, reads=6), threading.Event()
    stream = batches(
        source, batch=2, seed=0, crops=CROPS, threads=1, leave=asked.is_set
    )  # fmt: skip
    feed = prefetch(stream, lambda batch: batch, depth=1)
    states = [next(feed)[1], next(feed)[1]]
    assert states == [{"sample": 2}, {"sample": 4}]
    threading.Timer(0.3, asked.set).start()
    start = time.monotonic()
    assert [state for _, state in feed] == [{"sample": 6}], "what is there is still handed out"
    feed.close()
    assert 0.2 < time.monotonic() - start < 0.3 + streams.PATIENCE + 1
    source.gate.set()


def test_a_record_that_stalls_is_named(monkeypatch, caplog):
    monkeypatch.setattr(streams, "STALLED", 0.2)
    source = Hanging(50, reads=0)
    source.where = lambda index: f"disk/{index}.jpg"
    threading.Timer(0.6, source.gate.set).start()
    with batches(source, batch=2, seed=0, crops=CROPS, threads=2) as stream:
        first = [next(stream)[0] for _ in range(2)][0].label
    (said,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert said.startswith("no batch for 0.") and "2 of its 2 rows are missing" in said
    # One of the two threads may wait until the size of a batch is known.
    assert f"reading disk/{first[0]}.jpg (0 s)" in said


def test_one_slow_record_holds_up_no_other(monkeypatch):
    """Three of four threads fill the batches ahead while one hangs, and the order is kept."""
    gate, seen = threading.Event(), []

    def row(step, index):
        if (step, index) == (1, 1):
            gate.wait()
        seen.append((step, index))
        return np.int32(step * 3 + index)

    with Stream(Work(row, rows=3, last=5), batch=3, threads=4) as stream:
        assert next(stream)[0].tolist() == [0, 1, 2]
        end = time.monotonic() + 5
        while len(seen) < 11 and time.monotonic() < end:
            time.sleep(0.01)
        assert sorted(seen) == [(s, i) for s in range(4) for i in range(3) if (s, i) != (1, 1)]
        gate.set()
        assert [batch.tolist()[0] for batch, _ in stream] == [3, 6, 9, 12]


@pytest.mark.parametrize(
    "threads, ahead, expected", [(2, 2**30, 3), (9, 2**30, 5), (9, 70, 4), (9, 1, 2)]
)
def test_what_is_read_ahead_is_bounded_in_bytes(threads, ahead, expected, caplog):
    """A batch of four int32 has 16 bytes; two batches are read ahead whatever they have."""
    caplog.set_level("INFO")
    seen = collections.Counter()

    def row(step, index):
        seen[step] += 1
        return np.int32(0)

    work = Work(row, rows=4, name="numbers")
    with Stream(work, batch=4, threads=threads, ahead=ahead) as stream:
        next(stream)
        time.sleep(0.1)
        assert stream.depth() == expected
        assert seen == dict.fromkeys(range(1 + expected), 4)
    said = (
        f"numbers: {threads} threads read {expected} batches ahead, {16 * expected} bytes of memory"
    )
    assert [r.message for r in caplog.records] == [said]


def test_all_threads_work_on_the_first_batch():
    together = threading.Barrier(4)

    def row(step, index):
        if step == 0 and index >= 4:  # once the first row says how large a batch is
            together.wait(5)
        return np.int32(index)

    with Stream(Work(row, rows=8, last=1), batch=8, threads=4) as stream:
        assert next(stream)[0].tolist() == [*range(8)]


def test_the_first_error_of_a_batch_is_raised_with_it_and_ends_the_stream():
    def row(step, index):
        if step == 1 and index:
            time.sleep(0.1 / index)  # the last one is met first
            raise LookupError(f"row {index}")
        return np.int32(index)

    stream = Stream(Work(row, rows=3), batch=3, threads=3)
    assert next(stream)[0].tolist() == [0, 1, 2]
    with pytest.raises(LookupError, match="row 1"):
        next(stream)
    assert [*stream] == []


def test_prefetch_pairs_each_batch_with_the_state_after_it():
    put = []
    stream = batches(Numbered(7), batch=2, seed=0, crops=CROPS)
    feed = prefetch(stream, lambda b: put.append(b) or ("device", b), depth=3)
    expected = take(Numbered(7), 6, batch=2)
    for step in range(6):
        (place, batch), state = next(feed)
        assert place == "device" and equal(batch, expected[step][0])
        assert state == {"sample": 2 * (step + 1)}  # not that of what was read ahead
        assert len(put) == step + 1 + 3
    feed.close()
    with pytest.raises(StopIteration):
        next(stream)


def test_prefetch_hands_out_all_of_a_finite_stream():
    pairs = [(i, {"sample": i}) for i in range(5)]
    assert list(prefetch(iter(pairs), lambda x: x, depth=2)) == pairs
