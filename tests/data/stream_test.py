"""Threads that read ahead: bounded, closed at once, and what stalls is said."""

import threading
import time

import pytest

from m3i_jax.data import stream as streams
from m3i_jax.data.batches import batches
from m3i_jax.data.stream import prefetch
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
    assert Counted.reads <= 2 * (2 + streams.AHEAD)
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


def test_a_stream_that_stalls_says_so(monkeypatch, caplog):
    monkeypatch.setattr(streams, "STALLED", 0.2)
    source = Hanging(50, reads=0)
    threading.Timer(0.6, source.gate.set).start()
    with batches(source, batch=2, seed=0, crops=CROPS) as stream:
        next(stream)
        next(stream)
    assert [r.message for r in caplog.records] == ["no batch for 0.2 s: the data stalls"]


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
