"""Folders of images: names that are read as they were written, or refused."""

import json

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.prepare import folders
from m3i_jax.data.prepare.parts import parts
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.sources import annotation_forms as forms
from m3i_jax.data.sources import object_json
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.image_folder import image_folder
from m3i_jax.data.sources.record import Record
from tests.data.sources.object_json_test import same
from tests.data.sources.sample_objects_test import WHOLE as OBJECTS
from tests.faulty_folder import MARKUP, encoded, picture


class Two:
    classes = ("ant", MARKUP)

    def __len__(self):
        return 3


def test_what_is_written_is_read(tmp_path):
    (part,) = parts("train", Two(), count=1, seed=None)
    rows = [
        Row(0, "x", Record(encoded(picture(0)), 1, ("one", "two"))),
        Row(1, "y", broken="x"),
        Row(2, "z", Record(encoded(picture(1), "PNG"), 0)),
    ]
    stored = folders.write(tmp_path, part, rows)
    assert stored.records == 2
    assert (tmp_path / "train" / MARKUP / "000000000.jpg").read_bytes() == rows[0].record.image
    source = image_folder(str(tmp_path), split="train")
    assert source.classes == (MARKUP, "ant") and [source[i].label for i in (0, 1)] == [0, 1]
    assert source[0].captions == ("one", "two")


def test_what_is_said_of_pixels_lies_beside_and_is_no_image(tmp_path):
    (part,) = parts("train", Two(), count=1, seed=None)
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    box, points = np.float32([0, 1, 2, 3]), np.float32([[1, 2, 2], [0, 0, 0]])
    said = Annotations(mask, box, mask / np.float32(3), points, OBJECTS)
    rows = [Row(0, "x", Record(encoded(picture(0)), 1, ("one",), "x", said))]
    rows += [Row(1, "y", Record(encoded(picture(1)), 0, (), "y", Annotations(box=box)))]
    folders.write(tmp_path, part, rows)
    beside = tmp_path / "annotations" / "train"
    assert sorted(p.name for p in beside.iterdir()) == [
        "000000000.depth.npy", "000000000.json", "000000000.mask.png",
        "000000000.objects.json", "000000001.json",
    ]  # fmt: skip
    assert (forms.mask((beside / "000000000.mask.png").read_bytes()) == mask).all()
    assert (np.load(beside / "000000000.depth.npy") == said.depth).all()
    table = json.loads((beside / "000000000.json").read_text())
    assert (forms.box(table["box"]) == box).all() and (
        forms.points(table["points"]) == points
    ).all()
    same(object_json.decode((beside / "000000000.objects.json").read_bytes()), OBJECTS)
    source = image_folder(str(tmp_path), split="train")
    assert len(source) == 2 and source.classes == (MARKUP, "ant")


@pytest.mark.parametrize("name", ["a/b", "", ".x", "train", "fold_1", " x", "@eaDir", "é" * 101])
def test_names_that_are_no_classes_are_refused(name):
    folders.check(["ant", MARKUP, "n01440764", "鳥"])
    with pytest.raises(ConfigError, match="--format=array_record takes any"):
        folders.check(["ant", name])


def test_a_file_that_cannot_be_written_is_named_and_not_there(tmp_path):
    (part,) = parts("train", Two(), count=1, seed=None)
    (tmp_path / "train").write_text("in the way")
    with pytest.raises(OSError):
        folders.write(tmp_path, part, [Row(0, "x", Record(encoded(picture(0))))])
