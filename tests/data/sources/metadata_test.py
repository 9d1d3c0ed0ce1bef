"""metadata.csv and metadata.jsonl, as Hugging Face's image folders have them."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import protocol


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(root / name, format="PNG")
    return root


def opened(root, split="train", **how):
    return data.source({"name": "image_folder", "root": str(root), **how}, split=split)


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


CSV = 'file_name,label,text\n1.png,cat,"a cat, sitting"\n2.png,dog,\n'
JSONL = lines(
    {"file_name": "1.png", "label": "cat", "text": "a cat, sitting"},
    {"file_name": "2.png", "label": "dog", "objects": {"bbox": [[1, 2, 3, 4]]}},
)
FORMS = {
    "csv": ("train/metadata.csv", CSV),
    "upper case": ("train/Metadata.CSV", CSV.replace("label,text", "Label,Caption")),
    "jsonl": ("train/metadata.jsonl", JSONL),
    "of the whole data set": ("metadata.csv", re.sub(r"\n(\d)", r"\ntrain/\1", CSV)),
    "a mark": ("train/metadata.csv", "\ufeff" + CSV),
    "backslashes": ("metadata.csv", re.sub(r"\n(\d)", r"\n.\\train\\\1", CSV)),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_flat_folder_has_its_classes_and_captions(form, tmp_path):
    put(tmp_path, "train/1.png", "train/2.png", "val/3.png")
    name, text = FORMS[form]
    (tmp_path / name).write_text(text)
    (tmp_path / "val/metadata.csv").write_text("file_name,label\n3.png,dog\n")
    train, test = opened(tmp_path), opened(tmp_path, "test")
    assert train.classes == test.classes == ("cat", "dog")
    assert [train[i].label for i in range(2)] == [0, 1] and test[0].label == 1
    assert [train[i].caption for i in range(2)] == ["a cat, sitting", ""]
    assert list(train.captions()) == ["a cat, sitting", ""]
    said = f"'{tmp_path / name}' gives 2 classes and 1 captions"
    assert said in train.account.notes and "left out" not in train.account.notes[0]
    protocol.require_labels(test, split="test", what="a probe")


def test_captions_in_lists_and_several_lines_are_several(tmp_path):
    put(tmp_path, "train/a/1.png", "train/b/2.png", "train/b/3.png")
    rows = [{"file_name": "a/1.png", "caption": ["one", "two "], "label": 3}]
    rows += [{"file_name": "b/2.png", "caption": text} for text in ("x\ny", "z")]
    (tmp_path / "train/metadata.jsonl").write_text(lines(*rows, {"file_name": "c/4.png"}))
    (tmp_path / "train/b/3.txt").write_text("beside")
    train = opened(tmp_path)
    assert train.classes == ("a", "b")  # the folders, where there are some
    assert list(train.captions()) == ["one\ntwo", "x y\nz", "beside"]
    assert "1 of its 4 lines name no image here" in train.account.notes[1]
    assert list(opened(tmp_path, captions=False).captions()) == [""] * 3


UNREAD = {
    "metadata.parquet": ("PAR1", "is not read: save it as metadata.csv or metadata.jsonl"),
    "metadata.csv": ("image_id,dx\n1,nv\n", "is not read: it has no 'file_name'"),
    "METADATA.csv": ("file_name,age\n1.png,3\n", "gives neither classes nor captions"),
    "metadata.CSV": ("file_name,species,breed\n1.png,a,b\n", "open which of species, breed is the"),
    "metadata.jsonl": (lines(*({"file_name": "1.png", "label": x} for x in "ab")), "1.png' has 2"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_taken_from_a_file_is_said(name, tmp_path):
    put(tmp_path, "train/1.png")
    text, said = UNREAD[name]
    (tmp_path / "train" / name).write_text(text)
    train = opened(tmp_path)
    assert train.classes == () and said in train.account.notes[1]
    assert "left out" not in train.account.notes[0]


@pytest.mark.parametrize(
    "name,text,said",
    [
        ("metadata.jsonl", '{"file_name": "1.png"}\nnope', "has no JSON in its line 2"),
        ("metadata.jsonl", "[1]\n", r"has \[1\] in its line 1, expected an object"),
        ("metadata.csv", 'file_name,text\n1.png,"' + "x" * 200_000 + '"\n', "is no table"),
        ("metadata.csv", b"file_name,text\n1.png,caf\xe9\n", "is no text in UTF-8"),
    ],
)
def test_a_broken_file_is_refused_by_name(name, text, said, tmp_path):
    put(tmp_path, "train/1.png")
    path = tmp_path / "train" / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=f"'{path}' {said}"):
        opened(tmp_path)


def test_a_change_of_it_is_a_change_of_the_data(tmp_path):
    put(tmp_path, "train/1.png")
    before = opened(tmp_path).fingerprint()
    path = tmp_path / "train/metadata.csv"
    path.write_text("file_name,text\n1.png,a cat\n")
    after = opened(tmp_path).fingerprint()
    path.write_text("file_name,text\n1.png,a dog\n")
    assert len({before, after, opened(tmp_path).fingerprint()}) == 3
    assert opened(tmp_path, captions=False).fingerprint() == _without(tmp_path, path)


def _without(root, path):
    path.unlink()
    return opened(root, captions=False).fingerprint()
