"""COCO's and LVIS's folders as sources of images with objects."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.held_out import held_out
from tests.data.sources.dense_files import image, written
from tests.data.sources.object_files_test import THINGS, content, thing


def source(root, split="train", **block):
    return data.source({"name": "objects", "root": str(root), **block}, split=split)


@pytest.fixture
def coco(tmp_path):
    written(tmp_path / "annotations/instances_train2017.json", content(THINGS))
    written(tmp_path / "annotations/instances_val2017.json", content([thing(1)]))
    written(tmp_path / "annotations/person_keypoints_train2017.json", {})
    for split in ("train", "val"):
        for n in (7, 8, 9):
            image(tmp_path / f"{split}2017" / f"{n}.png", n, (10, 20))
    return tmp_path


def test_coco(coco, caplog):
    with caplog.at_level("INFO"):
        train, test = source(coco), source(coco, "test")
    assert "4 objects in 2 of 3 images" in caplog.text and "1 of them crowds" in caplog.text
    assert "2 with a broken outline" in caplog.text
    assert (len(train), len(test)) == (2, 3) and len(source(coco, empty=True)) == 3
    assert train.object_names == test.object_names == ("cat", "dog") and train.classes == ()
    assert [train.image_id(n) for n in range(2)] == [9, 7]
    sample = train[1]
    np.testing.assert_array_equal(sample.image, image(coco / "x.png", 7, (10, 20)))
    assert sample.objects.categories.tolist() == [0, 0, 1] and sample.left_out == ""
    assert len(test[2].objects.corners) == 0 and test[2].objects.categories.dtype == np.int32
    assert train.truth().image.tolist().count(7) == 7
    assert train.image_counts.tolist() == [1, 2]
    part = held_out("train", of=dict(name="objects", root=str(coco)), share=0.5)
    assert part.image_id(0) == train.image_id(int(part._chosen[0]))
    assert not hasattr(part, "truth") and part.repeats is None is train.repeats
    assert train.fingerprint() != source(coco, empty=True).fingerprint() != test.fingerprint()


def test_images_of_rare_categories_are_shown_more_often(coco, caplog):
    with caplog.at_level("INFO"):
        train = source(coco, repeat_threshold=0.9)
    assert "an epoch shows 2 images in the mean: 1 of 2 more often than once, up to 1.34" in (
        caplog.text
    )
    # Both images have dogs, one has cats.
    np.testing.assert_allclose(train.repeats, [1, np.sqrt(0.9 / 0.5)])
    assert source(coco, "test", repeat_threshold=0.9).repeats is None
    assert train.fingerprint() != source(coco).fingerprint()
    of = dict(name="objects", root=str(coco), repeat_threshold=0.9)
    part = held_out("train", of=of, share=0.5)
    assert part.repeats == train.repeats[part._chosen]
    both = dict(a=of, b=of | dict(repeat_threshold=0.0))
    mixed = data.source(dict(name="mixture", of=both), split="train")
    np.testing.assert_allclose(mixed.repeats, [*train.repeats, 1, 1])
    assert data.source(dict(name="mixture", of=dict(b=both["b"])), split="train").repeats is None


def test_lvis_names_images_by_url(coco):
    said = content([thing(1)])
    for one in said["images"]:
        one["coco_url"] = f"http://images.cocodataset.org/val2017/{one.pop('file_name')}"
    written(coco / "lvis_v1_train.json", said)
    found = source(coco, annotations="lvis_v1_{split}.json")
    assert found.where(0).endswith("val2017/7.png") and len(found[0].objects.corners) == 1
    assert found.truth().kinds.frequency == ("f", "c")


def test_an_image_of_another_size_than_its_file_says_is_no_record(coco):
    image(coco / "train2017/7.png", 7, (20, 10))
    train = source(coco)
    with pytest.raises(ValueError, match=r"7.png': it has 20 x 10 pixels.*say \[10, 20\]"):
        train[1]
    assert len(train[0].objects.corners) == 1


def test_no_image_with_an_object_is_no_training(coco):
    written(coco / "annotations/instances_train2017.json", content([thing(1, iscrowd=1)]))
    with pytest.raises(ConfigError, match="has no image with an object$"):
        source(coco)
    written(coco / "annotations/instances_train2017.json", content([thing(1, box=(99, 0, 4, 4))]))
    with pytest.raises(ConfigError, match="object; left out: 1 without a box in their image"):
        source(coco)
