"""Parquet files of Hugging Face's kind, from a config to samples; and damaged ones."""

import json
import pickle

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import parquet
from m3i_jax.data.sources.unreadable import TooManyUnreadable, robust
from tests.drawn_records import NAMES, drawn, mutated, same

pa = pytest.importorskip("pyarrow")
library = pytest.importorskip("pyarrow.parquet")
FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(NAMES)}}


def write(path, records, *, rows=3, names=True, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"huggingface": json.dumps({"info": {"features": FEATURES}})} if names else None
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kinds = [("image", image), ("label", pa.int64()), ("caption", pa.string())]
    table = pa.table(
        {
            "image": [{"bytes": r.png, "path": None} for r in records],
            "label": [r.label for r in records],
            "caption": [r.caption for r in records],
        },
        schema=pa.schema(kinds, metadata=said),
    )
    library.write_table(table, path, row_group_size=rows, **how)
    return path


def source(root, split="train", **how):
    classes = how.pop("classes", None)
    return data.source({"name": "parquet", "root": str(root), **how}, split=split, classes=classes)


@pytest.fixture
def root(tmp_path):
    records = drawn(11)
    for n, part in enumerate((records[:7], records[7:])):
        write(tmp_path / "data" / f"train-{n:05d}-of-00002.parquet", part)
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", records[3:6])
    return tmp_path, records


def test_rows_of_all_files(root):
    folder, records = root
    train = source(folder)
    same(train, records)
    assert train.classes == NAMES and train.account.labelled == 11
    assert train.where(9) == f"{folder}/data/train-00001-of-00002.parquet: row 2"
    same(pickle.loads(pickle.dumps(train)), records)
    same(source(folder, "test"), records[3:6])
    assert source(folder, "test", classes=("emu", "dog")).account.unknown == {"cat": 1}
    same(source(folder, captions=False), records, captions=False)
    order = np.random.default_rng(0).permutation(11)
    assert all((train[n].image == records[n].pixels).all() for n in order.tolist())


def test_plain_bytes_and_names_of_classes(tmp_path):
    records = drawn(4)
    columns = {"jpg": [r.png for r in records], "class": [r.name for r in records]}
    library.write_table(pa.table(columns), tmp_path / "all.parquet")
    same(source(tmp_path), records, captions=False)
    with pytest.raises(ConfigError, match="no column 'clas'; did you mean 'class'"):
        source(tmp_path, label="clas")


def test_what_was_kept_is_read_once(root, monkeypatch):
    folder, records = root
    train, read = source(folder), []
    column = parquet.Read.__call__
    counted = lambda self, group, of: read.append(of.name) or column(self, group, of)  # noqa: E731
    monkeypatch.setattr(parquet.Read, "__call__", counted)
    same(train, records)
    assert read.count("image") == 5 and read.count("caption") == 10  # five row groups


def test_a_row_without_bytes_is_named(tmp_path):
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": None, "path": "a.jpg"}, None]
    library.write_table(pa.table({"image": pa.array(rows, image)}), tmp_path / "a.parquet")
    found = source(tmp_path)
    for row in (0, 1):
        with pytest.raises(
            ValueError, match=rf"a.parquet: row {row}': it has no bytes of an image"
        ):
            found[row]


def test_files_that_do_not_fit_are_sentences(root, monkeypatch):
    folder, records = root
    file = folder / "data" / "train-00001-of-00002.parquet"
    write(file, records[:2], names=False)
    with pytest.raises(ConfigError, match="has other columns than"):
        source(folder)
    file.write_bytes(b"<html>")
    with pytest.raises(ConfigError, match="00001-of-00002.parquet' is no sound Parquet file"):
        source(folder)
    file.unlink()
    with pytest.raises(ConfigError, match="lacks 1 of 2 files"):
        source(folder)
    write(folder / "data" / "train-00000-of-00001.parquet", [])
    with pytest.raises(ConfigError, match="no rows in"):
        source(folder / "data" / "train-00000-of-00001.parquet")


def test_large_row_groups_are_said_and_the_fingerprint_follows(root, monkeypatch):
    folder, records = root
    monkeypatch.setattr(parquet, "LARGE", 100)
    train = source(folder)
    assert any("with fewer rows in each they are read faster" in n for n in train.account.notes)
    write(folder / "data" / "train-00001-of-00002.parquet", records[6:10])
    assert source(folder).fingerprint() != train.fingerprint()


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_damaged_files_come_to_a_sentence_or_to_the_same_substitutes(tmp_path, compression):
    path = write(tmp_path / "a.parquet", drawn(9), compression=compression)
    outcomes = {"refused": 0, "read": 0, "too many": 0}
    for damaged in mutated(path.read_bytes(), count=100):
        path.write_bytes(damaged)
        try:
            one, two = (robust(source(tmp_path), max_share=0.5) for _ in range(2))
        except ConfigError:
            outcomes["refused"] += 1
            continue
        try:
            images = [[s[n].image.tobytes() for n in range(len(s))] for s in (one, two)]
            assert images[0] == images[1]
            outcomes["read"] += 1
        except TooManyUnreadable:
            outcomes["too many"] += 1
        one.contents(), [one.where(n) for n in range(len(one))]
    assert outcomes["read"] > 20 and outcomes["refused"] > 15, outcomes
