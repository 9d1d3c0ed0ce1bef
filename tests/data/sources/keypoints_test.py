"""People of COCO's and CrowdPose's files: where pixels are, who is left out, detected boxes."""

import numpy as np
import pytest
from PIL import Image

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.held_out import held_out
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.data.sources.skeletons import COCO, CROWDPOSE
from m3i_jax.data.views.annotated import Wanted
from tests.data.sources.dense_files import written

PLACES = [(2 * n + 1, 3 * n + 2) for n in range(17)]  # x, y of 17 key points: lit pixels


def source(root, split="train", **block):
    return data.source({"name": "keypoints", "root": str(root), **block}, split=split)


def person(number, places=PLACES, image=7, **more):
    """An annotation; the last key point is not labelled, the one before hidden."""
    seen = [2] * (len(places) - 2) + [1, 0]
    points = [x for (column, row), v in zip(places, seen, strict=True) for x in (column, row, v)]
    said = dict(id=number, image_id=image, category_id=1, keypoints=points, iscrowd=0, area=123.5)
    return said | dict(bbox=[4, 5, 30, 20.5], num_keypoints=len(places) - 1) | more


def content(people, skeleton=COCO, **image):
    images = [dict(id=7, file_name="000000000007.png", height=60, width=50) | image]
    lines = [[a + 1, b + 1] for a, b in skeleton.bones]
    names = list(skeleton.names)
    category = dict(id=1, name="person", keypoints=names, skeleton=lines)
    return dict(images=images, annotations=people, categories=[category, dict(id=2, name="cat")])


def lit(path, places):
    pixels = np.zeros((60, 50, 3), np.uint8)
    for x, y in places:
        pixels[y, x] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def coco(tmp_path):
    people = [
        person(40), person(41, iscrowd=1), person(42, keypoints=[0] * 51), person(43, image=8),
        person(44, bbox=[60, 5, 4, 4]), person(45, category_id=2),
        person(46, bbox=[40, 50, 20, 20]),
    ]  # fmt: skip
    written(tmp_path / "annotations/person_keypoints_train2017.json", content(people))
    written(tmp_path / "annotations/person_keypoints_val2017.json", content([person(1)]))
    written(tmp_path / "annotations/instances_train2017.json", {})
    for split in ("train", "val"):
        lit(tmp_path / f"{split}2017" / "000000000007.png", PLACES)
    return tmp_path


def test_coco(coco, caplog):
    with caplog.at_level("INFO"):
        train, test = source(coco), source(coco, "test")
    for reason in ("1 of crowds", "1 without a labelled key point", "1 without a box",
                   "1 of images that are not listed"):  # fmt: skip
        assert reason in caplog.text
    assert (len(train), len(test)) == (2, 1) and train.skeleton == test.skeleton == COCO
    sample = train[0]
    np.testing.assert_array_equal(sample.box, [5, 4, 20.5, 30])
    rows, columns = sample.points[:, :2].astype(int).T  # floor: the pixel that a place is in
    assert (sample.image[rows, columns] == 255).all()
    np.testing.assert_array_equal(sample.points[:, :2] % 1, 0.5)  # their middles
    np.testing.assert_array_equal(sample.points[:, 2], [2] * 15 + [1, 0])
    np.testing.assert_array_equal(train[1].box, [50, 40, 10, 10])  # what lies in the image
    assert train.person(0)[:4] == (7, 40, 123.5, 1.0) and np.isnan(train.person(0).crowd)
    assert train.where(1).endswith("000000000007.png, person 46")
    truth = train.truth()
    assert truth.number.tolist() == [40, 41, 42, 43, 44, 46] and truth.points.shape == (6, 17, 3)
    assert truth.crowd.tolist() == [False, True, *[False] * 4] and truth.area[0] == 123.5
    np.testing.assert_array_equal(truth.points[0], sample.points)
    np.testing.assert_array_equal(truth.box[5], [50, 40, 20, 20])  # as it is in the file
    wanted = Wanted.of(train, "points", "box")
    assert wanted.points == 17 and (5, 6) in wanted.swapped and wanted.upper == COCO.upper
    part = held_out("train", of=dict(name="keypoints", root=str(coco)), share=0.5)
    assert len(part) == 1 and part.person(0) == train.person(int(part._chosen[0]))
    assert train.fingerprint() != test.fingerprint() == source(coco, "test").fingerprint()


def test_crowdpose(tmp_path):
    for split in ("train", "trainval", "test"):
        people = [person(3, PLACES[:14])]
        said = content(people, CROWDPOSE, crowdIndex=0.7)
        said["categories"][0]["skeleton"] = [[16, 14], [14, 12]]  # COCO's lines, in the archive
        written(tmp_path / f"json/crowdpose_{split}.json", said)
    lit(tmp_path / "images" / "000000000007.png", PLACES[:14])
    for how in ({}, dict(annotations="json/crowdpose_{split}val.json")):
        found = source(tmp_path, **how)
        assert found.skeleton == CROWDPOSE and found.person(0).crowd == 0.7
        assert found[0].points.shape == (14, 3)
    assert len(source(tmp_path, "test")) == 1


def test_detected_boxes_are_records_of_the_test_split(coco):
    boxes = [
        dict(image_id=7, category_id=1, bbox=[1, 2, 10, 20], score=0.9),
        dict(image_id=7, category_id=2, bbox=[1, 2, 10, 20], score=0.9),
        dict(image_id=9, category_id=1, bbox=[1, 2, 10, 20], score=0.9),
        dict(image_id=7, category_id=1, bbox=[1, 2, 0, 20], score=0.1),
    ]
    file = coco / "boxes.json"
    file.write_text(__import__("json").dumps(boxes))
    found = source(coco, "test", detections=str(file))
    assert len(found) == 1 and found.person(0)[:2] == (7, -1) and found.person(0).score == 0.9
    np.testing.assert_array_equal(found[0].box, [2, 1, 20, 10])
    assert found[0].points is None and found.fingerprint() != source(coco, "test").fingerprint()
    assert len(source(coco, detections=str(file))) == 2  # training is of people
    file.write_text("[{}]")
    with pytest.raises(
        ConfigError, match="boxes.json' is no file of detections: it lacks 'categor"
    ):
        source(coco, "test", detections=str(file))


@pytest.mark.parametrize(
    "change, why",
    [
        (
            lambda said: said.pop("categories"),
            "no file of COCO's key points: it lacks 'categories'",
        ),
        (lambda said: said["categories"].append(said["categories"][0]), "2 of its categories have"),
        (
            lambda said: said["categories"][0].update(skeleton=[[1, 99]], keypoints=["x"] * 17),
            "joins others than 17",
        ),
        (lambda said: said["images"][0].update(file_name="../x.png"), "is no name of an image"),
        (lambda said: said["images"][0].update(id="7"), "'7' is no whole number"),
        (lambda said: said["annotations"][0].update(keypoints=[1, 2, 2]), "has 1 key points, exp"),
        (lambda said: said["annotations"][0].update(keypoints="x"), "no file of COCO's key points"),
        (lambda said: said.update(annotations=[]), "has nobody with a box and key points"),
    ],
)
def test_files_that_are_not_such_are_refused(coco, change, why):
    said = content([person(40)])
    change(said)
    written(coco / "annotations/person_keypoints_train2017.json", said)
    with pytest.raises(ConfigError, match=why):
        source(coco)


def test_files_that_are_missing_are_named(coco):
    with pytest.raises(NoSplit, match="no file '.*x_train.json' of the train split"):
        source(coco, annotations="x_{split}.json")
    written(coco / "annotations/more_train.json", {})
    with pytest.raises(ConfigError, match="has 'more_train.json', 'person_keyp.*; say which"):
        source(coco)
    (coco / "annotations/person_keypoints_val2017.json").write_text("{")
    with pytest.raises(ConfigError, match="val2017.json' cannot be read"):
        source(coco, "test")
    (coco / "annotations/person_keypoints_val2017.json").unlink()
    with pytest.raises(NoSplit, match="has no JSON file of the test split"):
        source(coco, "test")
    with pytest.raises(ConfigError, match="there is no '000000000007.png' in"):
        (coco / "train2017").rename(coco / "away")
        source(coco, annotations="annotations/person_keypoints_{split}2017.json")
