"""Tar files: what is written is read, by the standard library and as a source."""

import tarfile

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.prepare import tar_files
from m3i_jax.data.prepare.parts import parts
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.sources.record import Record
from m3i_jax.data.sources.tar_shards import tar_shards
from tests.faulty_folder import MARKUP, encoded, picture


class Three:
    classes = ("zebra", MARKUP, "unused")

    def __len__(self):
        return 3


ROWS = [
    Row(0, "x", Record(encoded(picture(0)), 1, ("one", "two"))),
    Row(1, "y", broken="x"),
    Row(2, "z", Record(encoded(picture(1), "PNG"), -1)),
]


def test_what_is_written_is_read(tmp_path):
    (part,) = parts("train", Three(), count=1, seed=None)
    stored = tar_files.write(tmp_path, part, ROWS)
    tar_files.name_classes(tmp_path, Three.classes)
    assert stored.records == 2 and stored.file == "train-00000-of-00001.tar"
    again = tar_files.write(tmp_path, part, ROWS)
    assert again == stored and len(list(tmp_path.iterdir())) == 2
    with tarfile.open(tmp_path / stored.file) as file:
        assert [(m.name, m.mtime, m.uid) for m in file] == [
            (name, 0, 0)
            for name in ("000000000.jpg", "000000000.cls", "000000000.txt", "000000002.png")
        ]
    source = tar_shards(str(tmp_path), split="train")
    assert source.classes == Three.classes and source.labels.tolist() == [1, -1]
    assert source[0].captions == ("one", "two") and source.encoded(1) == ROWS[2].record.image
    members = [tar_files.members(number, row) for number, row in enumerate(ROWS)]
    assert list(tar_files.read(tmp_path, part)) == [tar_files.joined(m) for m in members if m]


@pytest.mark.parametrize("name", ["", " x", "a\nb"])
def test_names_that_are_no_line_are_refused(name):
    tar_files.check(["ant", MARKUP, "a/b", "train"])
    with pytest.raises(ConfigError, match="--format=array_record takes any"):
        tar_files.check(["ant", name])


def test_a_file_that_cannot_be_written_is_named_and_not_there(tmp_path):
    (part,) = parts("train", Three(), count=1, seed=None)
    (tmp_path / "train-00000-of-00001.tar").mkdir()
    with pytest.raises(OSError, match="train-00000-of-00001.tar"):
        tar_files.write(tmp_path, part, ROWS)
    assert [p.name for p in tmp_path.iterdir()] == ["train-00000-of-00001.tar"]
