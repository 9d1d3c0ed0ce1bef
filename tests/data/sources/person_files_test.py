"""COCO's key points as they were written, and bounds of what is read."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import coco_json, person_files
from tests.data.sources.dense_files import written
from tests.data.sources.keypoints_test import content, person

DRAWN = np.random.default_rng(0)


def test_boxes_and_points_are_those_that_were_written(tmp_path):
    people = []
    for n in range(6):
        places = DRAWN.integers(0, 50, (17, 2)).tolist()
        people.append(person(n, places, bbox=DRAWN.uniform(1, 20, 4).tolist(), area=3.5 * n))
    found = person_files.read(written(tmp_path / "x.json", content(people)))
    assert len(found.records) == 6 and not found.left_out
    for one, other in zip(found.records, people, strict=True):
        x, y, width, height = other["bbox"]
        np.testing.assert_allclose(one.box, [y, x, height, width], rtol=1e-5)
        np.testing.assert_array_equal(one.points[:, 1] - 0.5, other["keypoints"][::3])
        np.testing.assert_array_equal(one.points[:, 0] - 0.5, other["keypoints"][1::3])
        np.testing.assert_array_equal(one.points[:, 2], other["keypoints"][2::3])
        assert one.person.area == other["area"] and one.file == "000000000007.png"


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    file = written(tmp_path / "x.json", content([person(1)]))
    monkeypatch.setattr(coco_json, "SIZE", 100)
    with pytest.raises(ConfigError, match="has more than 100 bytes"):
        person_files.read(file)


def test_lines_are_counted_from_one(tmp_path):
    said = content([person(1)])
    said["categories"][0]["keypoints"][0] = "tail"  # or it is COCO's skeleton, as known
    found = person_files.read(written(tmp_path / "x.json", said))
    assert found.skeleton.bones[0] == (15, 13) and found.skeleton.upper == ()
    assert (1, 2) in found.skeleton.swapped and found.skeleton.names[0] == "tail"


def test_truth_of_another_file_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match="is no file of COCO's key points: it lacks 'annotations'"
    ):
        person_files.truth(written(tmp_path / "x.json", {"categories": [{"keypoints": ["a"]}]}))
