"""Folders of YOLO's as sources of images with objects."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from tests.data.sources.annotations_test import tagged
from tests.data.sources.dense_files import image, written


def source(root, split="train", **block):
    return data.source({"name": "yolo", "root": str(root), **block}, split=split)


def label(root, split, name, *lines, around=False):
    where = f"{split}/labels" if around else f"labels/{split}"
    return written(root / where / f"{name}.txt", [*lines])


@pytest.fixture
def folder(tmp_path):
    written(tmp_path / "data.yaml", ["names: [cat, dog]"])
    for split in ("train", "val"):
        for n in range(3):
            image(tmp_path / f"images/{split}" / f"{n}.png", n, (10, 20))
        label(tmp_path, split, 0, "1 0.5 0.5 0.5 0.4", "0 0.1 0.5 0.3 0.5 0.3 0.9")
        label(tmp_path, split, 1)
    return tmp_path


def test_images_and_labels(folder, caplog):
    with caplog.at_level("INFO"):
        train, test = source(folder), source(folder, "test")
    assert (len(train), len(test)) == (1, 3) and len(source(folder, empty=True)) == 3
    assert "1 images have no file of labels, so no objects" in caplog.text
    assert "1 images; left out 2 without an object, which data.empty=True" in caplog.text
    label(folder, "train", "alone", "0 0.5 0.5 0.5 0.4")
    with caplog.at_level("INFO"):
        assert len(source(folder)) == 1
    assert "left out 1 files of labels without an image" in caplog.text
    assert train.object_names == ("cat", "dog") and train.classes == ()
    sample = train[0]
    np.testing.assert_allclose(sample.objects.corners, [[3, 5, 7, 15], [5, 2, 9, 6]], rtol=1e-6)
    assert sample.objects.categories.tolist() == [1, 0] and len(sample.objects.outlines) == 2
    assert [len(test[n].objects.corners) for n in range(3)] == [2, 0, 0]
    assert train.fingerprint() != test.fingerprint()


def test_splits_around_and_a_broken_line(tmp_path):
    written(tmp_path / "classes.txt", ["cat", "dog"])
    for n in range(2):
        image(tmp_path / f"train/images/{n}.png", n, (10, 20))
    label(tmp_path, "train", 0, "0 0.5 0.5 0.5 0.4", "0 0.5 0.5 0 0.4", around=True)
    label(tmp_path, "train", 1, "0 0.5 0.5 0.5 0.4", "2 0.5 0.5 0.5 0.4", around=True)
    found = source(tmp_path)
    assert len(found[0].objects.corners) == 1
    assert found[0].left_out == "1 objects that are not in the image, or have no area"
    with pytest.raises(ValueError, match="1.png': '.*1.txt': line 2 has category 2, of 2 from 0"):
        found[1]


def test_photographs_are_upright_as_their_labels_are(tmp_path):
    written(tmp_path / "classes.txt", ["cat"])
    pixels = np.zeros((10, 20, 3), np.uint8)
    (tmp_path / "images").mkdir()
    (tmp_path / "images/0.png").write_bytes(tagged(pixels, 6))
    written(tmp_path / "labels/0.txt", ["0 0.5 0.75 1 0.5"])
    sample = source(tmp_path)[0]
    assert sample.image.shape == (20, 10, 3)
    np.testing.assert_allclose(sample.objects.corners, [[10, 0, 20, 10]])


def test_no_label_is_no_training(folder):
    for lines in ((), ("", " ")):
        label(folder, "train", 0, *lines)
        with pytest.raises(ConfigError, match="no image in .* a label of its name .*, or with an"):
            source(folder)
