"""A folder of images inside a zip is read as the same folder on disk; and damaged zips."""

import json
import pickle
import struct
import zipfile

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import places
from m3i_jax.data.sources.unreadable import TooManyUnreadable, robust
from m3i_jax.evaluation import datasets
from tests.drawn_records import drawn, mutated

RECORDS = drawn(8)


def source(root, split="train"):
    return data.source({"name": "image_folder", "root": str(root)}, split=split)


def members():
    """Both splits, captions of both kinds, a table, and what is left out."""
    for n, record in enumerate(RECORDS):
        split = "val" if n > 5 else "train"
        yield f"{split}/{record.name}/{n}.png", record.png
        if n % 2:
            yield f"{split}/{record.name}/{n}.txt", record.caption.encode()
    yield "train/metadata.csv", b"file_name,text\ncat/0.png,of the table\n"
    yield "train/cat/note.pdf", b"1"
    yield "train/@eaDir/x.png", b"1"


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def both(tmp_path, request):
    """The same data set as a folder and as a zip."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", request.param) as file:
        for name, content in members():
            file.writestr(name, content)
            path = tmp_path / "folder" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return tmp_path / "folder", tmp_path / "x.zip"


@pytest.mark.parametrize("split", ["train", "test"])
def test_it_is_read_as_the_folder_is(both, split):
    folder, packed = (source(root, split) for root in both)
    assert len(folder) == len(packed) and folder.classes == packed.classes
    for one in (packed, pickle.loads(pickle.dumps(packed))):
        for n in range(len(folder)):
            np.testing.assert_array_equal(folder[n].image, one[n].image)
            assert folder[n]._replace(image=0) == one[n]._replace(image=0)
            assert folder.where(n).removeprefix(str(both[0])) == one.where(n).removeprefix(
                str(both[1])
            )
    assert list(folder.captions()) == list(packed.captions())
    assert folder.fingerprint() == packed.fingerprint()
    assert folder.contents()["contents"] == packed.contents()["contents"]
    said = [
        str(s.account.notes).replace(str(root), "")
        for s, root in zip((folder, packed), both, strict=True)
    ]
    assert said[0] == said[1] and folder.account[:2] == packed.account[:2]
    assert sorted(p.name for p in both[0].parent.iterdir()) == ["folder", "x.zip"]


def test_a_folder_in_it_and_one_around_all_of_it(both, tmp_path):
    assert len(source(f"{both[1]}/train")) == 6
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as file:
        for name, content in members():
            file.writestr(f"flowers/{name}", content)
        file.writestr("__MACOSX/._x", b"")
    assert source(tmp_path / "y.zip").classes == source(both[0]).classes
    assert len(source(tmp_path / "y.zip", "test")) == 2
    with pytest.raises(ConfigError, match="no folder '.*x.zip/tarin'"):
        source(f"{both[1]}/tarin")
    assert len(datasets.named(str(both[1])).open("test", None)) == 2


def test_a_list_of_labels_and_json_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for n, record in enumerate(RECORDS[:3]):
            file.writestr(f"train/{record.name}/a.png", record.png)
            file.writestr(f"train/{record.name}/a.json", json.dumps({"caption": f"of {n}"}))
            file.writestr(f"val/{n}.png", record.png)
        file.writestr("val.txt", "0.png cat\n1.png dog\n2.png emu\n")
    assert list(source(tmp_path / "x.zip").captions()) == ["of 0", "of 1", "of 2"]
    assert source(tmp_path / "x.zip", "test").labels.tolist() == [0, 1, 2]


def test_hostile_members_are_counted_and_nothing_is_written(tmp_path):
    png = RECORDS[0].png
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = 0o120777 << 16
    path = tmp_path / "in" / "x.zip"
    path.parent.mkdir()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as file:
        for name in (
            "cat/a.png",
            "dog/b.png",
            "../up.png",
            "/etc/c.png",
            "cat/a.png",
            "cat/a.png/d.png",
        ):
            file.writestr(name, png)
        file.writestr(link, "/etc/passwd")
    found = source(path)
    assert len(found) == 2 and found[1].label == 1
    said = found.account.notes[-1]
    for kind in ("2 name that leads elsewhere", "2 name that there is twice", "1 link"):
        assert kind in said
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_member_is_no_more_than_it_says(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(10**6))
        file.writestr("b.txt", b"word " * 10**5)
    (archive,) = {places.place(str(tmp_path / "x.zip")).archive}
    entry = archive.files["a.png"]
    archive.files["a.png"] = entry._replace(size=100)
    with pytest.raises(ValueError, match="not those that the zip has a sum of"):
        archive.read("a.png")
    archive.files["a.png"] = entry._replace(size=2**40)
    with pytest.raises(ValueError, match="1099511627776 bytes, more than"):
        archive.read("a.png")
    archive.files["a.png"] = entry._replace(method=12)
    with pytest.raises(ValueError, match="method 12; only deflate is read"):
        archive.read("a.png")
    assert archive.read("b.txt", most=7) == b"word wo"


def test_members_that_lie_over_another_are_broken_and_deep_names_left_out(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("a.png", "b.png", "c.png", "d/" * 20000 + "e.png"):
            file.writestr(name, b"12345")
    content = bytearray(path.read_bytes())
    second = content.rfind(b"b.png") - 46  # its place in the list: where the first one is, too
    content[second + 42 : second + 46] = bytes(4)
    path.write_bytes(content)
    archive = places.place(str(path)).archive
    assert archive.left_out == {"name of too many folders": 1}
    assert len(archive.folders) == 1 and archive.read("c.png") == b"12345"
    for name in ("a.png", "b.png"):
        with pytest.raises(ValueError, match="it lies over another member"):
            archive.read(name)


def test_what_is_no_zip_is_a_sentence(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"<html>" * 100)
    with pytest.raises(ConfigError, match="x.zip' is no sound zip file: File is not a zip file"):
        source(tmp_path / "x.zip")
    with pytest.raises(ConfigError, match="no folder '.*y.zip'; did you mean"):
        (tmp_path / "yy.zip").mkdir()
        source(tmp_path / "y.zip")


def test_damaged_files_come_to_a_sentence_or_to_the_same_substitutes(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members():
            file.writestr(name, content)
    outcomes = {"refused": 0, "read": 0, "too many": 0}
    for damaged in mutated(path.read_bytes(), count=150):
        path.write_bytes(damaged)
        try:
            one, two = (robust(source(path), max_share=0.5) for _ in range(2))
        except ConfigError:
            outcomes["refused"] += 1
            continue
        try:
            images = [[s[n].image.tobytes() for n in range(len(s))] for s in (one, two)]
            assert images[0] == images[1]
            outcomes["read"] += 1
        except TooManyUnreadable:
            outcomes["too many"] += 1
        list(one.captions()), one.contents(), one.fingerprint()
    assert outcomes["read"] > 20 and outcomes["refused"] > 20, outcomes
    assert struct.calcsize("<4s22xHH") == 30  # a header of a member, by the format's description
