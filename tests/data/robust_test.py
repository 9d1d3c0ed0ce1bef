"""Broken records: the same substitutes everywhere, counted once, listed, and a limit."""

import concurrent.futures
import json

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data import pipeline
from m3i_jax.data.crops import Crops
from m3i_jax.data.robust import TooManyUnreadable, robust
from m3i_jax.data.samples import Sample, Source


class Numbered:
    """Record i is an image of i; those in `broken` raise."""

    name, classes = "numbered", ()

    def __init__(self, length, broken=(), error=ValueError):
        self.length, self.broken, self.error = length, frozenset(broken), error

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.broken:
            raise self.error(f"record {index} is damaged")
        return Sample(
            np.full((8, 8, 3), index % 256, np.uint8), label=index, caption=f"number {index}"
        )

    def captions(self):
        return (f"number {i}" for i in range(self.length))

    def fingerprint(self):
        return f"numbered {self.length}"


def test_the_next_readable_record_takes_the_place():
    source = robust(Numbered(10, {3, 4, 9}), max_share=0.5)
    assert [source[i].label for i in range(10)] == [0, 1, 2, 5, 5, 5, 6, 7, 8, 0]
    assert set(source.unreadable) == {3, 4, 9}
    assert "record 3 is damaged" in source.unreadable[3]
    assert isinstance(source, Source) and len(source) == 10
    assert source.fingerprint() == "numbered 10" and len(list(source.captions())) == 10


@pytest.mark.parametrize("length,share,allowed", [(20, 0.001, 1), (5000, 0.001, 5), (20, 0.0, 0)])
def test_the_limit_is_a_share_of_all_records_but_forgives_one(length, share, allowed):
    for broken in (allowed, allowed + 1):
        source = robust(Numbered(length, set(range(1, 2 * broken, 2))), max_share=share)
        if broken == allowed:
            for i in range(length):
                source[i]
        else:
            with pytest.raises(TooManyUnreadable, match=f"{broken} of {length} records"):
                for i in range(length):
                    source[i]
            with pytest.raises(TooManyUnreadable):  # and it stays stopped
                source[1]


def test_the_same_record_counts_once():
    source = robust(Numbered(20, {7}))
    for _ in range(5):
        assert source[7].label == 8
    assert len(source.unreadable) == 1


def test_a_row_of_broken_records_stops():
    source = robust(Numbered(100, range(20)), max_share=1.0, tries=4)
    with pytest.raises(TooManyUnreadable, match="4 records in a row .* from record 2"):
        source[2]
    everything = robust(Numbered(3, range(3)), max_share=1.0)
    with pytest.raises(TooManyUnreadable, match="3 records in a row"):
        everything[0]


def test_memory_errors_are_not_the_records_fault():
    source = robust(Numbered(10, {1}, MemoryError))
    with pytest.raises(MemoryError):
        source[1]
    assert not source.unreadable


def test_the_report_lists_each_record_once_over_runs(tmp_path):
    report = tmp_path / "new" / "unreadable.jsonl"
    for _ in range(2):
        source = robust(Numbered(10, {2, 5}), report=report, max_share=0.5)
        for i in (5, 2, 5):
            source[i]
        with report.open("a") as stream:
            stream.write("half a li\n")  # what a kill may leave behind
    rows = [json.loads(x) for x in report.read_text().splitlines() if x.startswith("{")]
    assert [row["index"] for row in rows] == [5, 2]
    assert rows[0]["record"] == "record 5" and "damaged" in rows[0]["reason"]
    with pytest.raises(TooManyUnreadable, match="listed in .*unreadable.jsonl"):
        robust(Numbered(10, {2}), report=report, max_share=0.0)[2]


def test_threads_agree_and_count_exactly(tmp_path):
    broken = set(range(0, 300, 3))
    alone = robust(Numbered(300, broken), max_share=0.5)
    expected = [alone[i].label for i in range(300)]
    report = tmp_path / "unreadable.jsonl"
    together = robust(Numbered(300, broken), report=report, max_share=0.5)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: together[i % 300].label, range(1200)))
    assert found == expected * 4 and set(together.unreadable) == broken
    assert len(report.read_text().splitlines()) == len(broken)


def test_substitutes_do_not_depend_on_hosts_or_threads():
    def labels(threads, count):
        got = []
        for host in range(count):
            source = robust(Numbered(30, {4, 5, 17}), max_share=0.5)
            options = dict(batch=6, seed=3, crops=Crops(size=4), process_count=count)
            with pipeline.batches(source, **options, threads=threads, process_index=host) as stream:
                got.append(np.stack([next(stream)[0].label for _ in range(12)]))
        return np.concatenate(got, axis=1)

    assert np.array_equal(labels(1, 1), labels(4, 1))
    assert np.array_equal(labels(1, 1), labels(2, 3))


def test_bad_limits_are_refused():
    for bad in (dict(max_share=1.5), dict(max_share=-0.1), dict(tries=0)):
        with pytest.raises(ConfigError, match="max_share"):
            robust(Numbered(3), **bad)
