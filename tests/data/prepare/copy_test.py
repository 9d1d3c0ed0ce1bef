"""Copies: read back they are their source, and the same bytes whatever happened meanwhile."""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.prepare import copy, seals
from m3i_jax.data.prepare.work import ARRAY_RECORD, FOLDER, FORMATS, TAR, Settings, Work
from m3i_jax.data.sources.unreadable import TooManyUnreadable
from tests.faulty_folder import BROKEN, READABLE, made

pytest.importorskip("array_record")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return made(tmp_path_factory.mktemp("faulty"))


def work(root, folder, **settings):
    """Of both splits of the faulty folder."""
    block = {"name": "image_folder", "root": str(root)}
    train = data.source(block, split="train")
    sources = {"train": train, "test": data.source(block, split="test", classes=train.classes)}
    return Work(sources, folder, Settings(**{"size": 100, "shards": 4, **settings}), str(root))


def content(folder):
    """Path -> bytes of all files."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_shards_read_back_are_the_source(root, tmp_path):
    sealed = copy.write(work(root, tmp_path), threads=2, unreadable=0.5)
    assert sum(one.records for one in sealed["train"]) == READABLE
    source = work(root, tmp_path).sources
    opened = data.source({"name": "array_record", "root": str(tmp_path)}, split="train")
    kept = [i for i in range(READABLE + BROKEN) if i not in (6, 7, 10, 11)]
    assert opened.classes == source["train"].classes and len(opened) == READABLE
    captions = [source["train"][i].caption for i in kept]
    (tmp_path / ".keep").mkdir()
    for shard in tmp_path.glob("train-*.array_record"):  # nobody reads them for captions
        shard.rename(tmp_path / ".keep" / shard.name)
    assert list(opened.captions()) == captions != [""] * READABLE
    for shard in (tmp_path / ".keep").iterdir():
        shard.rename(tmp_path / shard.name)
    for number, index in enumerate(kept):
        one, other = opened[number], source["train"][index]
        assert (one.label, one.captions) == (other.label, other.captions)
        if index != 2:  # the one that is larger
            np.testing.assert_array_equal(one.image, other.image)
    assert opened[2].image.shape == (100, 115, 3)  # of 260 x 300
    test = data.source({"name": "array_record", "root": str(tmp_path)}, split="test")
    assert [test[i].label for i in range(2)] == [1, 1] and len(test) == 2
    lines = (tmp_path / copy.REPORT).read_text().splitlines()
    assert len(lines) == BROKEN and "the file is empty" in lines[2]
    assert copy.made(tmp_path) == work(root, tmp_path).made()


def test_shards_know_what_masks_and_key_points_are_called(tmp_path):
    pytest.importorskip("sklearn")
    block = dict(name="digit_scenes", length=3, size=32, dense=True)
    source = data.source(block, split="train")
    copy.write(Work({"train": source}, tmp_path, Settings(shards=1), "scenes"), threads=1)
    opened = data.source({"name": "array_record", "root": str(tmp_path)}, split="train")
    assert opened.categories == source.categories and opened.skeleton == source.skeleton
    for one, other in zip(map(opened.__getitem__, range(3)), source, strict=False):
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.depth, other.depth)
    bare = {"name": "array_record", "root": str(tmp_path), "annotations": False}
    assert not hasattr(data.source(bare, split="train"), "skeleton")


def test_tar_files_read_back_are_the_source(root, tmp_path):
    copy.write(work(root, tmp_path, format=TAR), threads=2, unreadable=0.5)
    source = work(root, tmp_path).sources
    block = {"name": "tar_shards", "root": str(tmp_path)}
    opened = data.source(block, split="train")
    kept = [i for i in range(READABLE + BROKEN) if i not in (6, 7, 10, 11)]
    assert opened.classes == source["train"].classes and len(opened) == READABLE
    assert opened.labels.tolist() == [source["train"].labels[i] for i in kept]
    assert list(opened.captions()) == [source["train"][i].caption for i in kept]
    test = data.source(block, split="test", classes=opened.classes)
    for index in range(2):
        np.testing.assert_array_equal(test[index].image, source["test"][index].image)


def test_a_mixture_is_copied_as_one(root, tmp_path):
    one = {"name": "image_folder", "root": str(root)}
    of = {"a": one | {"without": "captions"}, "b": one | {"without": "labels"}}
    source = data.source({"name": "mixture", "of": of}, split="train")
    copy.write(Work({"train": source}, tmp_path, Settings(size=100)), threads=2, unreadable=0.5)
    opened = data.source({"name": "array_record", "root": str(tmp_path)}, split="train")
    assert len(opened) == 2 * READABLE and opened.classes == source.classes
    assert (opened.labels[READABLE:] == -1).all() and not any([*opened.captions()][:READABLE])
    assert opened.labels[:READABLE].max() >= 0 and any(opened.captions())


def test_folders_read_back_are_the_source(root, tmp_path):
    copy.write(work(root, tmp_path, format=FOLDER), threads=2, unreadable=0.5)
    source = work(root, tmp_path).sources
    block = {"name": "image_folder", "root": str(tmp_path)}
    opened = data.source(block, split="train")
    assert opened.classes == source["train"].classes and len(opened) == READABLE
    test = data.source(block, split="test", classes=opened.classes)
    for index in range(2):
        np.testing.assert_array_equal(test[index].image, source["test"][index].image)
    captions = [*source["train"].captions()]
    kept = [caption for index, caption in enumerate(captions) if index not in (6, 7, 10, 11)]
    assert list(opened.captions()) == kept


@pytest.mark.parametrize("format", FORMATS)
def test_threads_and_orders_of_writing_change_no_byte(root, tmp_path, format):
    for threads in (1, 4):
        how = dict(format=format, seed=3)
        copy.write(work(root, tmp_path / str(threads), **how), threads=threads, unreadable=0.5)
    assert content(tmp_path / "1") == content(tmp_path / "4") != {}


KILLED = """
import os, signal, sys
from pathlib import Path
from m3i_jax.data.prepare import copy
from m3i_jax.data.sources.image_folder import ImageFolder
from tests.data.prepare.copy_test import work

root, folder, format, index = sys.argv[1:]
real = ImageFolder.encoded

def encoded(self, i):
    if i == int(index):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, i)

ImageFolder.encoded = encoded
copy.write(work(root, Path(folder), format=format), threads=1, unreadable=0.5)
"""


@pytest.mark.parametrize("format, index", [(ARRAY_RECORD, 11), (FOLDER, 5)])
def test_a_killed_run_goes_on_to_the_same_bytes(root, tmp_path, format, index):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    copy.write(work(root, whole, format=format), threads=2, unreadable=0.5)
    line = [sys.executable, "-c", KILLED, str(root), str(killed), format, str(index)]
    repository = pathlib.Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    assert subprocess.run(line, env=environment).returncode == -signal.SIGKILL
    assert copy.made(killed) is None and (killed / seals.FOLDER).is_dir()
    ticks = []
    copy.write(work(root, killed, format=format), threads=2, unreadable=0.5, tick=ticks.append)
    assert content(killed) == content(whole)
    assert ticks[0] >= (6 if format == ARRAY_RECORD else 0)  # what was sealed is not read again


def test_too_many_broken_records_stop_and_what_is_sealed_stays(root, tmp_path):
    with pytest.raises(TooManyUnreadable, match="more than the 1 that --unreadable=0.001"):
        copy.write(work(root, tmp_path, shards=12), threads=1)
    assert seals.sealed(tmp_path, "train-00006-of-00012").broken
    assert not list(tmp_path.glob(".*partial"))
    copy.write(work(root, tmp_path, shards=12), threads=1, unreadable=0.5)
    with pytest.raises(ConfigError, match="holds other things"):
        copy.write(work(root, tmp_path, shards=11), threads=1)


def test_what_no_format_takes_is_refused_first(root, tmp_path):
    asked = work(root, tmp_path, format=FOLDER)
    copy.check(asked)
    asked.sources["train"].classes = ("train", "b", "c")
    with pytest.raises(ConfigError, match="can be called 'train'"):
        copy.check(asked)
