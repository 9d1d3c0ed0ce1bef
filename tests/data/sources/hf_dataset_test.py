"""Data sets that `datasets.save_to_disk` wrote, from a config to samples; and damaged ones.

The files are written with pyarrow as `datasets` 5.2 writes them, which was compared with by hand.
"""

import json
import pickle

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.data.sources.unreadable import TooManyUnreadable, robust
from tests.drawn_records import NAMES, drawn, mutated, same

pa = pytest.importorskip("pyarrow")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": list(NAMES), "_type": "ClassLabel"},
    "captions": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    "mask": {"_type": "Image"},
}


def write(folder, records, *, shards=2, rows=3, said=True):
    """One Dataset in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})} if said else None
    kinds = [("image", IMAGE), ("label", pa.int64()), ("captions", pa.list_(pa.string()))]
    schema = pa.schema([*kinds, ("mask", IMAGE)], metadata=metadata)
    names = [f"data-{n:05d}-of-{shards:05d}.arrow" for n in range(shards)]
    for name, part in zip(names, np.array_split(np.arange(len(records)), shards), strict=True):
        with pa.ipc.new_stream(folder / name, schema) as stream:
            for first in range(0, len(part), rows):
                of = [records[n] for n in part[first : first + rows]]
                columns = [
                    [{"bytes": one.png, "path": None} for one in of],
                    [one.label for one in of],
                    [[one.caption] for one in of],
                    [None for _ in of],
                ]
                arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
                stream.write_batch(pa.record_batch(arrays, schema=schema))
    listed = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": listed, "_split": None}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    return folder


def source(root, split="train", **how):
    classes = how.pop("classes", None)
    return data.source(
        {"name": "hf_dataset", "root": str(root), **how}, split=split, classes=classes
    )


@pytest.fixture
def root(tmp_path):
    records = drawn(11)
    write(tmp_path / "train", records)
    write(tmp_path / "validation", records[3:6], shards=1, said=False)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    return tmp_path, records


def test_rows_of_all_files(root):
    folder, records = root
    train = source(folder)
    same(train, records)
    assert train.classes == NAMES and train.account.labelled == 11
    assert train.where(9) == f"{folder}/train/data-00001-of-00002.arrow: row 3"
    assert "caption 'captions', mask 'mask'" in train.account.notes[1] and train[0].mask is None
    same(pickle.loads(pickle.dumps(train)), records)
    same(source(folder, "test"), records[3:6])
    same(source(folder / "train", captions=False), records, captions=False)
    assert source(folder, "test", classes=("emu", "dog")).account.unknown == {"cat": 1}
    assert train.fingerprint() != source(folder, captions=False).fingerprint()


def test_what_is_missing_is_a_sentence(root):
    folder, _ = root
    with pytest.raises(NoSplit, match="has no test split; there are 'train'"):
        source(folder / "train", "test")
    (folder / "train" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(ConfigError, match="lacks 'data-00001-of-00002.arrow', one of 2 files"):
        source(folder)
    (folder / "train" / "state.json").write_text('{"_data_files": [{"filename": "../a"}]}')
    with pytest.raises(ConfigError, match="'../a' is no name of a file"):
        source(folder)
    with pytest.raises(ConfigError, match="there is no folder '.*trai'; did you mean 'train'"):
        source(folder / "trai")
    (folder / "other" / "data").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is no data set that `save_to_disk` wrote"):
        source(folder / "other")
    (folder / "other" / "data" / "train.parquet").touch()
    with pytest.raises(ConfigError, match="name=parquet reads them"):
        source(folder / "other")


def test_damaged_files_come_to_a_sentence_or_to_the_same_substitutes(tmp_path):
    write(tmp_path, drawn(9), shards=1)
    file = tmp_path / "data-00000-of-00001.arrow"
    outcomes = {"refused": 0, "read": 0, "too many": 0}
    for damaged in mutated(file.read_bytes(), count=150):
        file.unlink()  # a file that is mapped must not be cut
        file.write_bytes(damaged)
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
        one.contents(), [one.where(n) for n in range(len(one))], list(one.captions())
    assert outcomes["read"] > 20 and outcomes["refused"] > 15, outcomes
