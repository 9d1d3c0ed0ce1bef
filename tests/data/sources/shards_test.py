"""Which files are of which split, and what is said where they leave it open."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import shards
from m3i_jax.data.sources.protocol import NoSplit


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def names(root, split=None):
    return [[p.name for p in one] for one in shards.candidates(str(root), split, (".tar",))]


def test_names_say_the_split(tmp_path):
    files(
        tmp_path, "inet1k-train-01.tar", "inet1k-train-00.tar", "inet1k-validation-00.tar", ".x.tar"
    )
    assert names(tmp_path) == names(tmp_path, "train")
    assert names(tmp_path) == [["inet1k-train-00.tar", "inet1k-train-01.tar"]]
    assert names(tmp_path, "test") == [["inet1k-validation-00.tar"]]
    files(tmp_path, "inet1k-test-0.tar", "other.json")
    assert names(tmp_path, "test") == [["inet1k-test-0.tar"], ["inet1k-validation-00.tar"]]
    files(tmp_path, "extra.tar")
    with pytest.raises(ConfigError, match="'extra.tar' do not"):
        names(tmp_path)


@pytest.mark.parametrize("inner", ["", "data"])
def test_without_such_names_all_are_training(tmp_path, inner):
    files(tmp_path / inner, "00001.tar", "00000.tar")
    assert names(tmp_path) == [["00000.tar", "00001.tar"]]
    with pytest.raises(NoSplit, match="no test split; of its files there are 2 of train"):
        names(tmp_path, "test")


def test_folders_say_the_split(tmp_path):
    files(tmp_path, "train2017/0.tar", "val/7.tar", "val/note.txt")
    assert (names(tmp_path), names(tmp_path, "test")) == ([["0.tar"]], [["7.tar"]])


def test_patterns_are_those_of_a_shell(tmp_path):
    files(tmp_path, *(f"{n:02d}.tar" for n in (8, 9, 10, 11)), "test-1.tar")
    assert names(f"{tmp_path}/{{08..11}}.tar") == [["08.tar", "09.tar", "10.tar", "11.tar"]]
    assert names(f"{tmp_path}/{{10,09}}.tar") == [["10.tar", "09.tar"]]
    assert names(f"{tmp_path}/1?.tar") == [["10.tar", "11.tar"]]
    assert names(f"{tmp_path}/{{1..1}}0.tar") == [["10.tar"]]
    assert names(f"{tmp_path}/test-*.tar", "test") == [["test-1.tar"]]
    with pytest.raises(
        ConfigError, match=r"no file '.*12.tar', '.*13.tar'; did you mean '1\d.tar'"
    ):
        names(f"{tmp_path}/{{08..13}}.tar")


def test_what_is_missing_or_unclear_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="there is no file '.*none'"):
        names(tmp_path / "none")
    with pytest.raises(ConfigError, match="has no .tar files.*; it is empty"):
        names(tmp_path)
    files(tmp_path, "train-00000-of-00003.tar", "train-00002-of-00003.tar")
    with pytest.raises(
        ConfigError, match="lacks 1 of 3 files, the first 'train-00001-of-00003.tar'"
    ):
        names(tmp_path)
    files(tmp_path / "two", "train_val_0.tar")
    with pytest.raises(ConfigError, match="'train_val_0' says two splits, train and val"):
        names(tmp_path / "two")
    with pytest.raises(ConfigError, match="split is 'tset'; did you mean 'test'"):
        names(tmp_path, "tset")
