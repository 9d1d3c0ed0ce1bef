"""Features on disk: streamed, read back to the bit, made anew where they were changed."""

import os
import threading
import time

import numpy as np
import pytest

from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.evaluation import cache
from m3i_jax.evaluation.features import FeatureSet

KEY = {"weights": "abc", "image": 32}


def parts(count=3, rows=4, shape=(5,), seed=0):
    rng = np.random.default_rng(seed)
    for i in range(count):
        x = rng.normal(size=(rows, *shape)).astype(np.float32)
        yield FeatureSet(x, np.arange(rows, dtype=np.int32), np.arange(rows) + i * rows)


@pytest.mark.parametrize("shape", [(5,), (3, 2), ()])
def test_what_was_made_once_is_read_back(tmp_path, shape):
    made = cache.kept(tmp_path, KEY, lambda: parts(shape=shape))
    whole = FeatureSet(*map(np.concatenate, zip(*parts(shape=shape), strict=True)))
    for found in (made, cache.kept(tmp_path, KEY, lambda: pytest.fail("made again"))):
        for one, other in zip(found, whole, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
    assert len(list(tmp_path.iterdir())) == 1, "nothing unfinished is left"


def test_another_key_is_another_entry(tmp_path):
    first = cache.kept(tmp_path, KEY, parts)
    other = cache.kept(tmp_path, KEY | {"image": 48}, lambda: parts(seed=1))
    assert not np.array_equal(first.features, other.features)


@pytest.mark.parametrize("name", ["features.npy", "labels.npy", "index.npy", "manifest.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "gone"])
def test_what_was_changed_is_made_anew(tmp_path, name, how, caplog):
    cache.kept(tmp_path, KEY, parts)
    (place,) = tmp_path.iterdir()
    file = place / name
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    {
        "flip": lambda: file.write_bytes(content),
        "cut": lambda: file.write_bytes(content[:-3]),
        "gone": file.unlink,
    }[how]()
    again = cache.kept(tmp_path, KEY, parts)
    assert "are made anew" in caplog.text
    np.testing.assert_array_equal(again.features, np.concatenate([x for x, *_ in parts()]))
    cache.kept(tmp_path, KEY, lambda: pytest.fail("it was not mended"))


def test_what_fails_half_way_leaves_nothing(tmp_path):
    def broken():
        yield from parts(count=2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.kept(tmp_path, KEY, broken)
    assert not list(tmp_path.iterdir())


def test_two_that_make_the_same_at_once_both_get_it(tmp_path):
    meet, found = threading.Barrier(2), []

    def make():
        yield from parts(count=1)
        meet.wait(20)
        yield from parts(count=1, seed=1)

    threads = [
        threading.Thread(target=lambda: found.append(cache.kept(tmp_path, KEY, make)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found[0].features, found[1].features)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_large_stays_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "LARGE", 100)
    found = cache.kept(tmp_path, KEY, parts)
    assert isinstance(found.features, np.memmap) and not isinstance(found.labels, np.memmap)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match="cannot be written"):
        cache.kept(tmp_path / "file", KEY, parts)


def test_a_command_goes_on_without_one_that_cannot_be_written(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.writable() == cache.home() == tmp_path / "m3i_jax" / "features"
    assert not list(cache.home().iterdir())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache.writable() is None and "features are not kept: " in caplog.text


def test_it_lies_where_the_user_keeps_such_things(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(cache.home()) == "/somewhere/m3i_jax/features"


def test_what_a_killed_program_left_is_swept_and_what_is_being_made_stays(tmp_path):
    for name, age in ((".making-dead", 2 * cache.ABANDONED), (".making-alive", 60)):
        file = tmp_path / name / "entry" / "features.npy"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"half")
        for path in (file, file.parent, tmp_path / name):
            os.utime(path, (time.time() - age,) * 2)
    cache.kept(tmp_path, {"a": 1}, parts)
    assert [path.name for path in tmp_path.glob(".making-*")] == [".making-alive"]
