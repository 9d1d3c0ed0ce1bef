"""`dataset.json` beside shards: there and back, and what is missing or damaged is said."""

import hashlib
import json

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import manifest
from m3i_jax.data.sources.manifest import Manifest, Split
from m3i_jax.data.sources.skeletons import STROKES
from tests.drawn_records import mutated


@pytest.fixture
def folder(tmp_path):
    names = [manifest.shard("train", n, 2) for n in range(2)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 3)
    shards = tuple(manifest.stored(tmp_path / name, n + 1) for n, name in enumerate(names))
    labels = manifest.write_labels(tmp_path, "train", [1, -1, 0])
    (tmp_path / "c.jsonl").write_bytes(b"[]\n" * 3)
    split = Split(shards, labels, 2, {"emu": 1}, manifest.stored(tmp_path / "c.jsonl", 3))
    dense = dict(categories=("ground", "sky"), skeleton=STROKES, object_names=("bird",))
    said = Manifest(("cat", "ñandú"), {"train": split}, {"of": "x"}, **dense)
    manifest.write(tmp_path, said)
    return tmp_path, said


def test_there_and_back(folder):
    folder, said = folder
    assert manifest.read(folder) == said
    train = said.splits["train"]
    assert train.shards[1].file == "train-00001-of-00002.array_record"
    content = (folder / train.shards[1].file).read_bytes()
    assert train.shards[1].sha256 == hashlib.sha256(content).hexdigest()
    manifest.require_sizes(folder, train)
    np.testing.assert_array_equal(manifest.labels(folder, train, said.classes), [1, -1, 0])
    unlabelled = manifest.labels(folder, train._replace(labels=None), ())
    np.testing.assert_array_equal(unlabelled, [-1, -1, -1])


def test_what_is_not_whole_is_named(folder):
    folder, said = folder
    train = said.splits["train"]
    with pytest.raises(ConfigError, match="labels beyond the 1 classes"):
        manifest.labels(folder, train, ("cat",))
    manifest.write_labels(folder, "train", [1, 0])
    with pytest.raises(ConfigError, match="expected 3 int32"):
        manifest.labels(folder, train, said.classes)
    (folder / train.shards[0].file).write_bytes(b"x")
    (folder / train.shards[1].file).unlink()
    with pytest.raises(ConfigError, match="00000-of-00002.array_record has 1 of .*is missing"):
        manifest.require_sizes(folder, train)
    (folder / train.labels.file).unlink()
    with pytest.raises(ConfigError, match="labels.npy' cannot be read"):
        manifest.labels(folder, train, said.classes)
    (folder / "dataset.json").unlink()
    with pytest.raises(ConfigError, match="there is no .*dataset.json"):
        manifest.read(folder)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", ".hidden", "", "a\\b", 3])
def test_names_that_lead_elsewhere_are_refused(folder, name):
    file = folder[0] / "dataset.json"
    said = json.loads(file.read_text())
    said["splits"]["train"]["shards"][0]["file"] = name
    file.write_text(json.dumps(said))
    with pytest.raises(ConfigError, match="no name of a file beside it"):
        manifest.read(folder[0])


def test_more_records_than_bytes_are_refused(folder):
    file = folder[0] / "dataset.json"
    said = json.loads(file.read_text())
    said["splits"]["train"]["shards"][0]["records"] = 10**12
    file.write_text(json.dumps(said))
    with pytest.raises(ConfigError, match="1000000000000 records of 'train-00000.* bytes"):
        manifest.read(folder[0])


def test_damage_is_refused_or_read(folder):
    file = folder[0] / "dataset.json"
    outcomes = {"read": 0, "refused": 0}
    for damaged in mutated(file.read_bytes(), count=200):
        file.write_bytes(damaged)
        try:
            manifest.read(folder[0])
            outcomes["read"] += 1
        except ConfigError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 150 and outcomes["read"] > 0, outcomes


def test_a_skeleton_has_no_others_than_its_points(folder):
    folder, said = folder
    file = folder / "dataset.json"
    text = json.loads(file.read_text())
    for change in (dict(upper=[5]), dict(bones=[[0, 5]]), dict(swapped=[[0]]), dict(names=[1])):
        file.write_text(json.dumps(text | {"skeleton": text["skeleton"] | change}))
        with pytest.raises(ConfigError, match="dataset.json' (cannot be read|lacks something)"):
            manifest.read(folder)
    for key in ("skeleton", "categories", "object_names"):
        del text[key]
    file.write_text(json.dumps(text))  # as copies that were made before
    assert manifest.read(folder) == said._replace(categories=(), skeleton=None, object_names=())
