"""Shards of ArrayRecord, from a config to samples; damaged, lacking, and read by threads."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import array_record, manifest, record
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.manifest import Manifest, Split
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.data.sources.unreadable import TooManyUnreadable, robust
from tests.drawn_records import NAMES, drawn, mutated, same

library = pytest.importorskip("array_record.python.array_record_module")


def shards(folder, split, records, *, count=2, said=None, **more):
    """Writes shards of a split; returns what `dataset.json` says of them."""
    files = []
    for number in range(count):
        file = folder / manifest.shard(split, number, count)
        part = range(number * len(records) // count, (number + 1) * len(records) // count)
        writer = library.ArrayRecordWriter(str(file), "group_size:1,uncompressed")
        for n in part:
            one = records[n]
            of = said[n] if said else record.NONE
            whole = record.Record(one.png, one.label, (one.caption,), f"{n}.png", of)
            writer.write(record.encode(whole))
        writer.close()
        files.append(manifest.stored(file, len(part)))
    labels = manifest.write_labels(folder, split, [one.label for one in records])
    return Split(tuple(files), labels, len(records), **more)


def source(root, split="train", **how):
    classes = how.pop("classes", None)
    block = {"name": "array_record", "root": str(root), **how}
    return data.source(block, split=split, classes=classes)


@pytest.fixture
def root(tmp_path):
    records = drawn(11)
    train = shards(tmp_path, "train", records)
    test = shards(tmp_path, "test", records[3:6], count=1, unknown={"fox": 2})
    manifest.write(tmp_path, Manifest(NAMES, {"train": train, "test": test}))
    return tmp_path, records


def test_records_of_all_shards(root):
    folder, records = root
    train = source(folder)
    same(train, records)
    assert train.classes == NAMES and train.account.labelled == 11
    where = f"{folder}/train-00001-of-00002.array_record: record 2, 7.png"
    assert train.where(7) == where and train.encoded(7) == records[7].png
    same(pickle.loads(pickle.dumps(train)), records)
    same(source(folder, captions=False), records, captions=False)
    test = source(folder, "test")
    same(test, records[3:6])
    assert test.account.unknown == {"fox": 2} and "2 of 'fox', not in" in test.account.notes[1]
    assert source(folder, "test", classes=("emu", "dog")).account.unknown == {"fox": 2, "cat": 1}


def test_annotations_of_some_records(tmp_path):
    records = drawn(2)
    mask = np.arange(records[0].pixels[..., 0].size, dtype=np.uint8)
    whole = Annotations(
        mask.reshape(records[0].pixels.shape[:2]),
        np.array([1, 2, 3, 4], np.float32),
        records[0].pixels[..., 0].astype(np.float32) / 3,
        np.array([[1.5, 2.5, 2]], np.float32),
    )
    train = shards(tmp_path, "train", records, count=1, said=[whole, record.NONE])
    manifest.write(tmp_path, Manifest(NAMES, {"train": train}))
    sample, bare = (source(tmp_path)[n] for n in range(2))
    for name, values in whole._asdict().items():
        np.testing.assert_array_equal(getattr(sample, name), values, strict=True)
        assert getattr(bare, name) is None
    assert source(tmp_path, annotations=False)[0].mask is None


def test_threads_share_a_few_open_files(root, monkeypatch):
    folder, records = root
    monkeypatch.setattr(array_record, "OPEN", 1)
    train = source(folder)
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda n: train[n % 11].image, range(440)))
    assert all((image == records[n % 11].pixels).all() for n, image in enumerate(read))
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_what_is_not_whole_is_a_sentence(root):
    folder, _ = root
    said = manifest.read(folder)
    manifest.write(folder, said._replace(splits={"test": said.splits["test"]}))
    with pytest.raises(NoSplit, match="has no train split; there are 'test'"):
        source(folder)
    (folder / "test-00000-of-00001.array_record").unlink()
    with pytest.raises(ConfigError, match="is not whole: 'test-00000-of-00001.array_record is mis"):
        source(folder, "test")


def test_another_label_or_count_than_was_written_is_a_broken_record(root):
    folder, records = root
    manifest.write_labels(folder, "train", [2, *(one.label for one in records[1:])])
    with pytest.raises(ValueError, match="record 0, 0.png': its label is 0, but that of the file"):
        source(folder)[0]
    said = manifest.read(folder)
    first, last = said.splits["train"].shards
    moved = (first._replace(records=first.records + 1), last._replace(records=last.records - 1))
    train = said.splits["train"]._replace(shards=moved)
    manifest.write(folder, said._replace(splits={"train": train}))
    with pytest.raises(ValueError, match="the file has 5 of 6 records"):
        source(folder)[0]


def test_the_fingerprint_follows_the_digests(root):
    folder, records = root
    before = source(folder).fingerprint()
    assert before != source(folder, captions=False).fingerprint()
    said = manifest.read(folder)
    train = shards(folder, "train", [records[1], records[0], *records[2:]])
    manifest.write(folder, said._replace(splits=said.splits | {"train": train}))
    assert source(folder).fingerprint() != before


def test_damage_is_noticed_by_its_sum(root):
    folder, records = root
    file = folder / "train-00000-of-00002.array_record"
    whole, outcomes = file.read_bytes(), {"read": 0, "broken": 0}
    used = len(whole) // 2  # the first of two blocks of 64 kB
    for damaged in mutated(whole[: used // 8], count=100):
        file.write_bytes((damaged + whole[used // 8 :])[: len(whole)].ljust(len(whole), b"\0"))
        train = source(folder)
        for n in range(5):
            try:
                assert (train[n].image == records[n].pixels).all()  # or it is not given out
                outcomes["read"] += 1
            except ValueError:
                outcomes["broken"] += 1
        list(train.captions())
    assert min(outcomes.values()) > 20, outcomes
    file.write_bytes(bytes(len(whole)))
    with pytest.raises(TooManyUnreadable):
        robust(source(folder), max_share=0.1).survey()
