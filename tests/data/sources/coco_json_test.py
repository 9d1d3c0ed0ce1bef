"""Which JSON file and which folder of images a split has, and what numbers and names may be."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import coco_json
from m3i_jax.data.sources.protocol import NoSplit
from tests.data.sources.dense_files import image, written


@pytest.mark.parametrize(
    "file, picture, first",
    [
        ("annotations/instances_train2017.json", "train2017/1.png", "1.png"),
        ("lvis_v1_train.json", "train2017/1.png", "train2017/1.png"),
        ("annotations/train.json", "images/train/1.png", "1.png"),
        ("train.json", "images/1.png", "1.png"),
        ("train/_annotations.coco.json", "train/1.png", "1.png"),
        ("annotations/train_all.json", "1.png", "1.png"),
    ],
)
def test_files_and_folders(tmp_path, file, picture, first):
    written(tmp_path / file, {}), image(tmp_path / picture)
    written(tmp_path / "annotations/captions_train2017.json", {})
    found = coco_json.found(tmp_path, "train", None, others={"captions"})
    assert found == tmp_path / file
    folder = coco_json.images(tmp_path, found, first, "train")
    assert (folder / first).is_file() and folder / first == tmp_path / picture
    assert coco_json.found(tmp_path, "train", file, others=set()) == found
    with pytest.raises(NoSplit, match="no JSON file of the test split"):
        coco_json.found(tmp_path, "test", None, others={"captions"})


def test_what_is_not_there_or_twice(tmp_path):
    for name in ("a_train.json", "b_train.json"):
        written(tmp_path / name, {})
    with pytest.raises(ConfigError, match="'a_train.json', 'b_train.json'; say which is meant"):
        coco_json.found(tmp_path, "train", None, others=set())
    with pytest.raises(NoSplit, match="no file '.*c_train.json' of the train split"):
        coco_json.found(tmp_path, "train", "c_{split}.json", others=set())
    with pytest.raises(ConfigError, match="there is no '1.png' in"):
        coco_json.images(tmp_path, tmp_path / "a_train.json", "1.png", "train")
    with pytest.raises(ConfigError, match="cannot be read"):
        coco_json.content(tmp_path / "none.json")


def test_numbers_and_names():
    assert coco_json.whole(3) == 3 and coco_json.finite(3) == 3.0
    assert coco_json.name({"file_name": "a/b.jpg"}) == "a/b.jpg"
    url = "http://images.cocodataset.org/val2017/000000397133.jpg"
    assert coco_json.name({"coco_url": url}) == "val2017/000000397133.jpg"
    for wrong in (3.0, True, "3", None):
        with pytest.raises(ValueError, match="no whole number"):
            coco_json.whole(wrong)
    for wrong in ("3", True, None, float("nan")):
        with pytest.raises(ValueError, match="no number"):
            coco_json.finite(wrong)
    assert [coco_json.flag(one) for one in (None, 0, False, 1, True)] == [False] * 3 + [True] * 2
    for wrong in ("0", 2, []):
        with pytest.raises(ValueError, match="neither 0 nor 1"):
            coco_json.flag(wrong)
    assert coco_json.entries({"images": [{"id": 1}]}, "images") == [{"id": 1}]
    for wrong, why in (([], "no object of JSON"), ({"images": {}}, "no list of objects")):
        with pytest.raises(ValueError, match=why):
            coco_json.entries(wrong, "images")
    for wrong in ("/a", "../a", "", 3):
        with pytest.raises(ValueError, match="no name of an image"):
            coco_json.name({"file_name": wrong})
    assert coco_json.why(KeyError("x")) == "it lacks 'x'" and coco_json.why(ValueError("y")) == "y"
