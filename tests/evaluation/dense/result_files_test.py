"""Files of results: there and back, and read by pycocotools with the same numbers."""

import contextlib
import io
import json

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.dense import result_files
from m3i_jax.metrics import objects
from m3i_jax.metrics.objects import There
from tests.metrics.coco_objects import IMAGES, made

pytest.importorskip("faster_coco_eval")

IDS = (1, 18, 90)
ROWS = [
    (7, (0, 0, 2, 3), 0, 0.25, 0), (3, (1, 1, 5, 6), 2, 0.5, 1), (3, (0, 0, 9, 9), 1, 0.125, 2),
]  # fmt: skip


def test_there_and_back(tmp_path):
    found = made(ROWS)
    result_files.write(tmp_path / "a.json", found, IDS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    said = json.loads((tmp_path / "a.json").read_text())
    assert said[0] | {"segmentation": 0} == {
        "image_id": 7, "category_id": 1, "bbox": [0, 0, 48, 32], "score": 0.25, "segmentation": 0,
    }  # fmt: skip
    assert [one["category_id"] for one in said] == [1, 90, 18]
    read = result_files.read(tmp_path / "a.json", IDS)
    for one, other in zip(read[:4], found[:4], strict=True):
        np.testing.assert_array_equal(one, other)
    for runs, mask in zip(read.masks, found.masks, strict=True):
        np.testing.assert_array_equal(objects.pixels(runs), mask)
    again = result_files.coco_results(read, IDS)
    assert again == said
    result_files.write(tmp_path / "a.json", found._replace(masks=None), IDS)
    assert result_files.read(tmp_path / "a.json", IDS).masks is None
    result_files.write(tmp_path / "a.json", made([])._replace(masks=None), IDS)
    assert json.loads((tmp_path / "a.json").read_text()) == []
    assert len(result_files.read(tmp_path / "a.json", IDS).image) == 0


def test_pycocotools_reads_them(tmp_path):
    library = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    found = made(ROWS)
    moved = found._replace(corners=found.corners + np.array([0, 0, 9, 0]), masks=None)
    result_files.write(tmp_path / "a.json", moved, IDS)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = library.COCO()
        truth.dataset = {
            "images": [{"id": int(n)} for n in IMAGES.number],
            "categories": [{"id": n} for n in IDS],
            "annotations": [
                one | {"id": n + 1, "iscrowd": 0, "area": one["bbox"][2] * one["bbox"][3]}
                for n, one in enumerate(result_files.coco_results(found, IDS))
            ],
        }
        truth.createIndex()
        run = cocoeval.COCOeval(truth, truth.loadRes(str(tmp_path / "a.json")), "bbox")
        run.evaluate(), run.accumulate(), run.summarize()
    there = There(found.image, found.corners, found.category)
    read = result_files.read(tmp_path / "a.json", IDS)
    ours = objects.average_precision(there, read, IMAGES, 3)
    np.testing.assert_allclose(ours, np.where(run.stats < 0, np.nan, run.stats), atol=1e-12)
    assert 0 < ours.ap < 1


@pytest.mark.parametrize(
    "said, why",
    [
        ({}, "no file of COCO's results"), ([{"image_id": 1}], "it has, or lacks, 'category_id'"),
        ([{"image_id": 1, "category_id": 2, "score": 1}], "it has, or lacks, 2"),
        ([{"image_id": "1", "category_id": 1, "score": 1}], "'1' is no whole number"),
        ([{"image_id": 1, "category_id": 1, "score": "x"}], "could not convert"),
        ([{"image_id": 1, "category_id": 1, "score": 1, "bbox": [1]}], "cannot reshape"),
        ([{"image_id": 1, "category_id": 1, "score": 1, "segmentation": 3}], "segmentation is 3"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, said, why):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(said))
    with pytest.raises(ConfigError, match=why):
        result_files.read(file, IDS)
    with pytest.raises(ConfigError, match="b.json' is no file of COCO's results"):
        result_files.read(tmp_path / "b.json", IDS)
