"""Average precision of what is found in images, beside pycocotools."""

import contextlib
import io

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.data.originals import Original
from m3i_jax.data.sources.outlines import encoded
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.data.sources.subset import spread
from m3i_jax.evaluation.detection.found import Found
from m3i_jax.evaluation.detection.judged import Known, guessed, judged
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.tasks.detection import written as results_written
from m3i_jax.metrics.objects import Found as All
from m3i_jax.metrics.objects import Images, There
from tests.data.sources.dense_files import image, written
from tests.data.sources.object_files_test import content, thing
from tests.metrics.coco_objects import evaluation

SIZE, KINDS = (40, 50), 3


def scene(rng, outlined=True):
    """A record of some rectangles, crowds among them."""
    count = int(rng.integers(0, 5))
    low = rng.integers(0, (20, 25), (count, 2))
    high = low + rng.integers(4, 16, (count, 2))
    corners = np.float32(np.concatenate([low, high], 1))
    masks = [np.zeros(SIZE, bool) for _ in range(count)]
    for mask, (top, left, bottom, right) in zip(masks, corners.astype(int), strict=True):
        mask[top:bottom, left:right] = True
    said = SampleObjects(
        corners, rng.integers(0, KINDS, count).astype(np.int32), rng.random(count) < 0.2,
        np.float32((high - low).prod(1)), tuple(map(encoded, masks)) if outlined else None,
    )  # fmt: skip
    return Sample(np.zeros((*SIZE, 3), np.uint8), objects=said)


def pairs(seed=0, outlined=True, exact=False):
    """Records, and of each what somebody has found who is nearly right."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(12):
        sample = scene(rng, outlined)
        there = sample.objects
        corners = np.float64(there.corners) + (
            0 if exact else rng.normal(0, 1.0, (len(there.corners), 4))
        )
        corners = np.sort(corners.reshape(-1, 2, 2), 1).reshape(-1, 4).clip(0, [*SIZE, *SIZE])
        scores = rng.uniform(0.1, 1, len(corners)).astype(np.float32)
        masks = np.ones((len(corners), 4, 4), np.float32)
        found = Found(corners, scores, there.categories, masks)
        if exact:
            alone = ~there.crowd
            found = Found(corners[alone], scores[alone], there.categories[alone], masks[alone])
        view = np.zeros((4, 4, 3), np.uint8)
        rows.append((Original(number, sample, view, np.zeros(6, np.float32)), found))
    return rows


def test_what_is_found_exactly_is_worth_one():
    found = judged(pairs(exact=True), kinds=KINDS, masks=True)
    for name in ("ap", "ap50", "ar_100", "mask_ap", "mask_ap75"):
        assert found.numbers[name] == 1.0
    assert found.images == 12 and found.numbers["ap_large"] is None
    assert len(found.found.masks) == len(found.found.score)


def odd_pairs():
    """An image without objects in which some are found, and one of 500 of which 300 are; some of
    what is found has no height or no width."""
    rng, (view, box) = np.random.default_rng(3), (np.zeros((4, 4, 3), np.uint8), np.zeros(6, "f4"))
    none = [[5, 5, 5, 9], [5, 5, 9, 5], [40, 50, 40, 50], [0, 0, 0, 0]]
    for number, count in ((12, 0), (13, 500)):
        low = rng.uniform(0, 30, (count, 2))
        corners = np.concatenate([low, low + rng.uniform(1, 9, (count, 2))], 1)
        kinds, areas = np.arange(count, dtype=np.int32) % KINDS, np.full(count, 20, "f4")
        there = SampleObjects(np.float32(corners), kinds, np.zeros(count, bool), areas)
        near = corners[:300] + rng.normal(0, 0.3, (min(count, 300), 4))
        boxes = np.concatenate([near, none])
        said = np.concatenate([kinds[:300], [0, 1, 2, 0]])
        found = Found(boxes, rng.random(len(boxes)).astype("f4"), said)
        sample = Sample(np.zeros((*SIZE, 3), np.uint8), objects=there)
        yield Original(number, sample, view, box), found


@pytest.mark.parametrize("more", [(), odd_pairs()], ids=["usual", "odd"])
def test_boxes_are_worth_what_pycocotools_says(more):
    rows = [*pairs(), *more]
    there, said = [[], [], [], [], []], [[], [], [], []]
    for one, found in rows:
        objects = one.sample.objects
        for column, values in zip(
            there, (objects.corners, objects.categories, objects.area, objects.crowd), strict=False
        ):
            column.extend(np.float64(values))
        there[4].extend([one.number] * len(objects.corners))
        for column, values in zip(
            said, (found.corners, found.categories, found.scores), strict=False
        ):
            column.extend(np.float64(values))
        said[3].extend([one.number] * len(found.corners))
    corners, category, area, crowd, image = map(np.array, there)
    truth = There(image, corners, category.astype(int), area, crowd.astype(bool))
    corners, category, score, image = map(np.array, said)
    found = All(image, corners, category.astype(int), score)
    images = Images(np.arange(len(rows)), np.tile(SIZE, (len(rows), 1)))
    wanted = evaluation(truth, found, images, KINDS, masks=False)
    numbers = judged(rows, kinds=KINDS).numbers
    assert 0.1 < numbers["ap"] < 0.9
    np.testing.assert_allclose(
        [numbers["ap"], numbers["ap50"], numbers["ap75"]], wanted.stats[:3], atol=1e-12
    )
    assert "mask_ap" not in numbers and "constant" not in numbers


def test_who_sees_no_image_says_the_same_of_each():
    rows = pairs()
    guess = guessed([one.sample for one, _ in rows], KINDS)
    assert (guess.corners >= 0).all() and (guess.corners <= 1).all() and guess.scores.max() == 1
    boxes = [
        corners / np.tile(SIZE, 2)
        for one, _ in rows
        for corners, kind in zip(
            one.sample.objects.corners, one.sample.objects.categories, strict=True
        )
        if kind == guess.categories[0]
    ]
    np.testing.assert_allclose(guess.corners[0], np.mean(boxes, 0), rtol=1e-6)
    numbers = judged(rows, kinds=KINDS, guess=guess).numbers
    assert 0 <= numbers["constant"] < numbers["ap"]
    assert guessed([Sample(np.zeros((2, 2, 3), np.uint8))], KINDS) is None


def test_what_cannot_be_measured_is_said():
    silent = [
        (one._replace(sample=one.sample._replace(objects=None)), said) for one, said in pairs()
    ]
    with pytest.raises(NotMeasurable, match="no record says which objects are in it"):
        judged(silent, kinds=KINDS)
    with pytest.raises(NotMeasurable, match="where in its box an object is: take 'detection'"):
        judged(pairs(outlined=False), kinds=KINDS, masks=True)
    boxes = [(one, said._replace(masks=None)) for one, said in pairs()]
    with pytest.raises(NotMeasurable, match="finds boxes alone has no masks: take 'detection'"):
        judged(boxes, kinds=KINDS, masks=True)


@pytest.fixture
def folder(tmp_path):
    """COCO's, with crowds, objects without an area and without an outline, and others' ids."""
    things = [
        thing(1), thing(2, 9, 5, (3, 2, 8, 6), segmentation=[]), thing(3, iscrowd=1),
        thing(4, 9, 3, (9, 1, 6, 7)), thing(5, 8, 5, (0, 0, 20, 10)),
    ]  # fmt: skip
    del things[3]["area"]
    said = content(things)
    for category in said["categories"]:
        category.pop("frequency")
    written(tmp_path / "annotations/instances_train2017.json", said)
    written(tmp_path / "annotations/instances_val2017.json", said)
    for split in ("train", "val"):
        for n in (7, 8, 9):
            image(tmp_path / f"{split}2017" / f"{n}.png", n, (10, 20))
    return tmp_path


def seen_by(source):
    """Records, and boxes that are a little beside those that are there."""
    rng = np.random.default_rng(0)
    for n in range(len(source)):
        there = source[n].objects
        corners = np.float64(there.corners) + rng.uniform(-0.7, 0.7, there.corners.shape)
        corners = np.sort(corners.reshape(-1, 2, 2), 1).reshape(-1, 4).clip(0, [10, 20, 10, 20])
        scores = rng.uniform(0.2, 1, len(corners)).astype(np.float32)
        found = Found(corners, scores, there.categories, np.ones((len(corners), 4, 4), np.float32))
        yield Original(n, source[n], np.zeros((2, 2, 3), np.uint8), np.zeros(6, np.float32)), found


def test_a_file_of_results_is_worth_to_pycocotools_what_is_said_here(folder, tmp_path):
    """Through both files, as they lie on the disk: ids, crowds and areas are those of the truth."""
    library = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    source = data.source({"name": "objects", "root": str(folder)}, split="test")
    known = Known.of(source)
    assert [known.image_id(n) for n in range(3)] == [9, 7, 8] and known.category_ids == (3, 5)
    result = judged(seen_by(source), kinds=2, masks=True, known=known)
    file = results_written(tmp_path / "found", "runs/a b#online", result.found, known.category_ids)
    assert file.name == "runs_a_b#online.json"
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(invalid="ignore"):
        truth = library.COCO(str(folder / "annotations/instances_val2017.json"))
        for one in truth.dataset["annotations"]:  # which pycocotools wants of all
            one.setdefault("area", one["bbox"][2] * one["bbox"][3])
        said = truth.loadRes(str(file))
        for kind, prefix in (("bbox", ""), ("segm", "mask_")):
            if kind == "segm":
                for one in truth.dataset["annotations"]:
                    one["segmentation"] = one["segmentation"] or [[0, 0, 0, 0, 0, 0]]
            run = cocoeval.COCOeval(truth, said, kind)
            run.evaluate()
            run.accumulate()
            run.summarize()
            ours = [result.numbers[prefix + name] for name in ("ap", "ap50", "ap75", "ar_100")]
            np.testing.assert_allclose(ours, run.stats[[0, 1, 2, 8]], atol=1e-12)
            assert 0 < ours[0] < 1


def test_categories_with_a_frequency_are_counted_as_those_of_lvis(folder):
    said = content([thing(1), thing(2, 9, 5, (3, 2, 8, 6))], neg_category_ids=[5])
    written(folder / "annotations/instances_val2017.json", said)
    source = data.source({"name": "objects", "root": str(folder)}, split="test")
    numbers = judged(seen_by(source), kinds=2, known=Known.of(source)).numbers
    assert {"ap_rare", "ap_common", "ap_frequent"} <= set(numbers) and numbers["ap_rare"] is None
    assert numbers["ap_common"] is not None and "ar_100" not in numbers


def test_a_part_of_a_file_is_what_its_records_say(folder):
    whole = data.source({"name": "objects", "root": str(folder)}, split="test")
    part = spread(whole, 2)
    known = Known.of(part)
    assert known.truth is None and list(known.category_ids) == [1, 2] and known.image_id(1) == 1
    assert judged(seen_by(part), kinds=2, known=known).images == 2
