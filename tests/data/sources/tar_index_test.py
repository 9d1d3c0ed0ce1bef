"""The index: made once, kept beside the files or in the user's cache, anew where they change."""

import logging
import os

import numpy as np
import pytest

from m3i_jax.data.sources import tar_index, tar_samples
from tests.drawn_records import drawn, samples, tar


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    records = drawn(7)
    tars = [(0, records[:4]), (4, records[4:])]
    return [tar(tmp_path / "d" / f"{n}.tar", samples(part, start=n)) for n, part in tars]


def never(path):
    raise AssertionError(f"{path} was read again")


def test_it_is_made_once_and_mapped(files, monkeypatch):
    first = tar_index.opened(files)
    assert isinstance(first.records, np.memmap) and len(first.records) == 7
    assert first.records["shard"].tolist() == [0] * 4 + [1] * 3
    assert [first.names[n] for n in first.records["label"]] == "cat dog emu cat dog emu cat".split()
    (kept,) = files[0].parent.glob(".m3i-index-*")
    np.testing.assert_array_equal(np.load(kept), first.records)  # a file of NumPy's
    monkeypatch.setattr(tar_samples, "read", never)
    again = tar_index.opened(files)
    assert (again.records == first.records).all() and again[1:] == first[1:]


@pytest.mark.parametrize("change", ["size", "time", "index", "trailer", "cut"])
def test_it_is_made_anew_where_something_is_another(files, change):
    before = tar_index.opened(files)
    (kept,) = files[0].parent.glob(".m3i-index-*")
    if change == "size":
        tar(files[1], samples(drawn(2), start=4))
    elif change == "time":
        os.utime(files[1], ns=(0, 0))
    elif change == "index":
        kept.write_bytes(b"nonsense")
    elif change == "trailer":
        kept.write_bytes(kept.read_bytes()[:-9])
    else:
        kept.write_bytes(kept.read_bytes()[:300])
    after = tar_index.opened(files)
    assert len(after.records) == (6 if change == "size" else 7)
    assert (after.digest == before.digest) is (change != "size")
    assert [p.name for p in files[0].parent.glob(".m3i*")] == [kept.name]


def test_where_nothing_can_be_written_it_is_in_the_cache_or_in_memory(files, monkeypatch, tmp_path):
    replace, refused = os.replace, [files[0].parent]

    def refusing(source, target):
        if target.parent in refused:
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    index = tar_index.opened(files)
    cache = tmp_path / "cache" / "m3i_jax" / "indexes"
    assert isinstance(index.records, np.memmap) and len(list(cache.iterdir())) == 1
    for kept in cache.iterdir():
        kept.unlink()
    refused.append(cache)
    memory = tar_index.opened(files)
    assert not isinstance(memory.records, np.memmap) and (memory.records == index.records).all()
    assert not list(cache.iterdir()) and not list(files[0].parent.glob(".m3i*"))


def test_how_far_it_is_is_said(files, monkeypatch, caplog):
    monkeypatch.setattr(tar_index, "TELL", 0.0)
    with caplog.at_level(logging.INFO):
        tar_index.opened(files)
    assert "1 of 2 tar files" in caplog.text
