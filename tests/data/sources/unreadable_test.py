"""Broken records: the same substitutes everywhere, counted once, listed, and a limit."""

import concurrent.futures
import json
import time

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.batches import batches
from m3i_jax.data.epoch import epoch
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.sources.unreadable import TooManyUnreadable, robust
from m3i_jax.data.views.crops import Crops
from m3i_jax.types import Share


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


def test_a_copy_that_was_cut_off_is_passed_over_where_many_may_be_broken():
    cut = Numbered(100, range(30, 60))
    assert robust(cut, max_share=0.5)[30].label == 60
    with pytest.raises(TooManyUnreadable, match="expected|8 records in a row|cannot be read, more"):
        robust(cut, max_share=0.02)[30]


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
            # What a kill may leave behind, or somebody who means harm.
            stream.write('half a li\n{"index": 1e999}\n' + "[" * 100_000 + "\n")
    rows = [
        json.loads(x)
        for x in report.read_text().splitlines()
        if x.startswith("{") and "1e999" not in x
    ]
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
            options = dict(batch=6, seed=3, crops=Crops(size=4), share=Share((host,), count))
            with batches(source, **options, threads=threads) as stream:
                got.append(np.stack([next(stream)[0].label for _ in range(12)]))
        return np.concatenate(got, axis=1)

    assert np.array_equal(labels(1, 1), labels(4, 1))
    assert np.array_equal(labels(1, 1), labels(2, 3))


def test_bad_limits_are_refused():
    for bad in (dict(max_share=1.5), dict(max_share=-0.1), dict(tries=0)):
        with pytest.raises(ConfigError, match="max_share"):
            robust(Numbered(3), **bad)


def test_a_number_is_made_of_no_substitute():
    source = robust(Numbered(10, {3, 4, 9}), max_share=0.5)
    read = [source.read(i) for i in range(10)]
    assert [i for i, sample in enumerate(read) if sample is None] == [3, 4, 9]
    assert all(sample.label == i for i, sample in enumerate(read) if sample is not None)
    strict = robust(Numbered(10, {3, 4, 9}), max_share=0.2)
    assert strict.read(3) is strict.read(4) is None
    with pytest.raises(TooManyUnreadable):
        strict.read(9)


def test_a_survey_names_all_broken_records_at_once(tmp_path):
    report = tmp_path / "unreadable.txt"
    source = robust(Numbered(20, {3, 4, 9}), report=report)
    with pytest.raises(TooManyUnreadable, match="3 of 20 records of the train split") as met:
        source.survey()
    said = str(met.value)
    assert "the 1 that config.unreadable=0.001 allows" in said and "config.unreadable=0.15." in said
    assert "max_share" not in said and "record 3 is damaged; record 4" in said
    found = [json.loads(line)["index"] for line in report.read_text().splitlines()]
    assert sorted(found) == [3, 4, 9]  # as threads come across them
    robust(Numbered(20, {3, 4, 9}), max_share=0.15).survey()  # what the sentence says is enough
    robust(Numbered(20, {3})).survey()


def test_the_share_that_the_sentence_names_is_enough():
    for length in range(1, 60):
        for broken in range(2, min(length, 8)):
            with pytest.raises(TooManyUnreadable) as met:
                robust(Numbered(length, range(broken))).survey()
            share = float(str(met.value).partition("allow config.unreadable=")[2].split(". ")[0])
            robust(Numbered(length, range(broken)), max_share=share).survey()


def test_a_survey_of_a_large_source_is_bounded():
    class Slow(Numbered):
        read = 0

        def __getitem__(self, index):
            type(self).read += 1
            time.sleep(0.01)
            return super().__getitem__(index)

    robust(Slow(10_000)).survey(most=30, threads=1)
    assert Slow.read == 30
    Slow.read = 0
    robust(Slow(10_000)).survey(most=5000, seconds=0.1, threads=1)
    assert Slow.read < 100


def test_a_long_survey_says_how_far_it_is(monkeypatch, caplog):
    from m3i_jax.data.sources import unreadable as module

    clock = iter(range(10_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    caplog.set_level("INFO")
    robust(Numbered(30)).survey()
    assert "of 30 records" in caplog.text


def test_the_report_tells_splits_apart(tmp_path):
    report = tmp_path / "unreadable.txt"
    old = {"index": 5, "record": "record 5", "reason": "as older runs wrote it"}
    report.write_text(json.dumps(old) + "\n[1]\n" + "[" * 5000 + "\n")
    for split in ("train", "test"):
        robust(Numbered(10, {5}), report=report, split=split).read(5)
    rows = [
        json.loads(x)
        for x in report.read_text().splitlines()
        if x.startswith("{") and "1e999" not in x
    ]
    assert [row.get("split") for row in rows] == [None, "test"]


def test_a_report_that_cannot_be_written_stops_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    source = robust(Numbered(10, {5}), report=tmp_path / "file" / "unreadable.txt")
    assert source[5].label == 6 and "cannot add to" in caplog.text


def test_what_else_a_source_has_is_kept():
    class Whole(Numbered):
        evaluation_ratio, account = 1.0, "found"

    source = robust(Whole(3))
    assert source.evaluation_ratio == 1.0 and source.account == "found"
    assert not hasattr(robust(Numbered(3)), "evaluation_ratio")


def test_an_evaluation_leaves_out_what_it_cannot_read():
    source = robust(Numbered(10, {3, 9}), max_share=0.5)
    rows = list(epoch(source, batch=4, size=4))
    label, real, lost = (
        np.concatenate(x)
        for x in zip(*((r.batch.label, r.real, r.lost) for r in rows), strict=True)
    )
    assert label[real].tolist() == [0, 1, 2, 4, 5, 6, 7, 8] and label[~real].tolist() == [-1] * 4
    assert np.flatnonzero(lost).tolist() == [3, 9]


def test_what_is_left_out_of_a_record_is_counted_and_listed_and_stops_nothing(tmp_path, caplog):
    class Mute(Numbered):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return sample._replace(left_out=f"caption {index}" if index % 2 else "")

    report = tmp_path / "unreadable.txt"
    source = robust(Mute(10), report=report, max_share=0)
    source.survey()
    assert source[3].label == 3 and not source.unreadable and len(source.partial) == 5
    reasons = [json.loads(x)["reason"] for x in report.read_text().splitlines()]
    assert sorted(reasons) == [f"caption {i}" for i in (1, 3, 5, 7, 9)]
    assert "of 5 of 10 records a part was left out, which" in caplog.text
    assert caplog.text.count("caption") == 3  # named in full
