"""What is taken of a folder, and what is counted as left out."""

import errno
import os
from collections import Counter

import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import folder_tree
from m3i_jax.data.sources.folder_tree import below, filled, tree


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


@pytest.fixture
def folder(tmp_path):
    for name in ("cat/1.jpg", "cat/deep/2.PNG", "dog/1.jpeg", "dog/1.txt", "dog/stray.txt"):
        put(tmp_path / name)
    for name in ("@eaDir/1.jpg", "cat/@eaDir/1.jpg", "cat/._1.jpg", "dog/Thumbs.db", "dog/a.HEIC"):
        put(tmp_path / name)
    for name in ("$RECYCLE.BIN/9.jpg", "lost+found/8.jpg", "cat/deep/.DS_Store", "cat/README"):
        put(tmp_path / name)
    (tmp_path / "ant" / "empty").mkdir(parents=True)
    os.symlink(tmp_path / "gone.jpg", tmp_path / "cat" / "3.jpg")
    os.symlink(tmp_path / "dog", tmp_path / "cat" / "again")
    return tmp_path


def test_within_a_command_a_folder_is_listed_once(folder):
    with folder_tree.listed_once():
        before = tree(folder, captions=True), below(folder)
        put(folder / "cat/4.jpg")
        assert tree(folder, captions=True) is before[0] and below(folder) is before[1]
        assert len(tree(folder, captions=False).folders["cat"]) == 3, "which reads other texts"
    assert len(tree(folder, captions=True).folders["cat"]) == 3 == len(below(folder)) - 2


def test_only_images_are_taken(folder):
    found = tree(folder, captions=True)
    assert found.flat == []
    assert found.folders == {
        "ant": [],
        "cat": [folder / "cat/1.jpg", folder / "cat/deep/2.PNG"],
        "dog": [folder / "dog/1.jpeg"],
    }
    assert filled(folder) == ["cat", "dog"]


def test_pictures_of_a_run_are_no_data(folder):
    """As where m3i pretrain . has kept its run in the folder of the images."""
    before = tree(folder, captions=True).folders
    for name in ("config.json", "starts.jsonl", "images/views.png", "report.png"):
        put(folder / "runs" / "photos" / name)
        put(folder / "cat" / "run" / name)
    after = tree(folder, captions=True)
    assert after.folders == {**before, "runs": []} and "2 folder of a run" in str(after)
    assert filled(folder) == ["cat", "dog"] and len(below(folder)) == 4


def test_images_are_counted_aloud_where_that_takes_long(folder, caplog, monkeypatch):
    caplog.set_level("INFO")
    tree(folder, captions=True)
    assert not caplog.messages
    monkeypatch.setattr(folder_tree, "TELL", 0.0)
    tree(folder, captions=True)
    assert caplog.messages[-1] == f"looking through '{folder}': 4 images so far"  # one is broken


def test_all_that_is_left_out_is_counted(folder):
    found = tree(folder, captions=True).left_out
    assert found == {
        "'@eaDir'": 2,
        "'$RECYCLE.BIN'": 1,
        "'lost+found'": 1,
        "'._…'": 1,
        "'Thumbs.db'": 1,
        "'.DS_Store'": 1,
        "'.heic'": 1,
        "'.txt'": 1,  # of no image
        "without a suffix": 1,
        "broken link or no regular file": 1,
        "link to a folder": 1,
    }
    silent = tree(folder, captions=False)
    assert silent.left_out["'.txt'"] == 2
    assert str(silent).startswith("2 '.txt', 2 '@eaDir'") or str(silent).startswith("2 '@eaDir', 2")
    assert str(silent._replace(left_out=Counter(map(str, range(25))))).endswith("5 more kinds")
    assert str(tree(folder / "ant", captions=True)) == ""
    packed = str(silent._replace(left_out=Counter({"'.zip'": 2})))
    assert packed.startswith("2 '.zip' (what is packed within a folder is not read: unpack it")


def test_splits_within_a_class_are_refused(tmp_path):
    for name in ("bottle/train/1.jpg", "bottle/test/2.jpg"):
        put(tmp_path / name)
    with pytest.raises(ConfigError, match="'.*bottle' holds the splits test and train"):
        tree(tmp_path, captions=True)


def closed(monkeypatch, *folders):
    """Nobody may read these folders, not even root."""
    scandir = os.scandir

    def denied(folder="."):
        if os.fspath(folder) in map(str, folders):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", denied)


def test_folders_that_cannot_be_read_are_left_out_and_named(folder, monkeypatch, caplog):
    secret, deep = folder / "dog", folder / "cat" / "deep"
    closed(monkeypatch, secret, deep)
    found = tree(folder, captions=True)
    assert found.folders == {"ant": [], "cat": [folder / "cat/1.jpg"]}
    assert found.unread == {str(secret): "Permission denied", str(deep): "Permission denied"}
    assert filled(folder) == ["cat"] and below(folder) == [
        folder / "cat/1.jpg",
        folder / "cat/3.jpg",
    ]
    data.source({"name": "image_folder", "root": str(folder)}, split="train")
    assert caplog.messages[-1] == (
        "train data: left out 2 folders that cannot be read (Permission denied): "
        f"'{deep}', '{secret}'"
    )
    closed(monkeypatch, folder)
    with pytest.raises(ConfigError, match=f"cannot read the folder '{folder}': Permission denied"):
        tree(folder, captions=True)


def test_a_folder_whose_files_nobody_may_look_at_is_one_of_them(folder, monkeypatch):
    def denied(path):
        if path.parent.name == "dog":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return os.path.isfile(path)

    monkeypatch.setattr(type(folder), "is_file", denied)
    found = tree(folder, captions=True)
    assert found.unread == {str(folder / "dog"): "Permission denied"} and "dog" not in found.folders
    assert filled(folder) == ["cat"]


def test_a_folder_that_is_reached_twice_is_taken_once(tmp_path):
    """Links to a class, into one, to all of them, and two to the same place elsewhere."""
    train, away = tmp_path / "train", tmp_path / "away"
    for name in ("train/cat/1.jpg", "train/cat/young/2.jpg", "train/dog/3.jpg"):
        put(tmp_path / name)
    for name in ("away/fox/4.jpg", "away/fox/red/5.jpg", "away/owl/6.jpg"):
        put(tmp_path / name)
    links = {"aaa": train / "cat", "kitten": train / "cat/young", "all": train, "root": tmp_path}
    links |= {"fox": away / "fox", "fuchs": away / "fox", "wild": away, "owl": away / "owl"}
    for name, target in links.items():
        (train / name).symlink_to(target)
    (tmp_path / "away/fox/again").symlink_to(away / "owl")
    found = tree(train, captions=False)
    counts = {name: len(files) for name, files in found.folders.items()}
    assert counts == dict(cat=2, dog=1, fox=2, owl=1)
    assert filled(train) == ["cat", "dog", "fox", "owl"]
    assert sum(found.left_out.values()) == 7 and found.left_out["link to the folder 'fox'"] == 2
    assert "link to the folder 'cat'" in str(found)
