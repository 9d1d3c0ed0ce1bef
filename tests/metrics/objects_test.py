"""AP and AR of boxes and masks against pycocotools, to the last digits, on awkward sets."""

import builtins

import numpy as np
import pytest
from hypothesis import given, settings

from m3i_jax.build import ConfigError
from m3i_jax.metrics import objects
from m3i_jax.metrics.objects import Found, Images, There
from tests.metrics import coco_objects
from tests.metrics.coco_objects import CATEGORIES, IMAGES, SIDE, made, sets

pytest.importorskip("faster_coco_eval")


def compared(there, found, *, masks, images=IMAGES, categories=CATEGORIES):
    got = objects.curves(there, found, images, categories, masks=masks)
    theirs = coco_objects.evaluation(there, found, images, categories, masks=masks)
    for name in ("precision", "recall"):
        wanted = theirs.eval[name]
        np.testing.assert_allclose(
            getattr(got, name), np.where(wanted < 0, np.nan, wanted), rtol=0, atol=1e-12
        )
    wanted = np.where(theirs.stats < 0, np.nan, theirs.stats)
    np.testing.assert_allclose(objects.summary(got), wanted, rtol=0, atol=1e-12)
    return objects.summary(got)


@given(sets())
@settings(max_examples=30, deadline=None)
def test_boxes_are_counted_as_pycocotools_does(drawn):
    compared(*drawn, masks=False)


@given(sets())
@settings(max_examples=20, deadline=None)
def test_masks_are_counted_as_pycocotools_does(drawn):
    compared(*drawn, masks=True)


def crowded(count=260):
    """More than 100 boxes of an image, of random places."""
    rng = np.random.default_rng(3)
    images = Images(np.arange(4), np.full((4, 2), SIDE))
    ends = lambda n: np.sort(rng.uniform(0, SIDE, (n, 2, 2)), 1).reshape(-1, 4)  # noqa: E731
    there = There(
        rng.integers(0, 3, 60), ends(60), rng.integers(0, 2, 60), rng.uniform(10, 2e4, 60),
        rng.random(60) < 0.1,
    )  # fmt: skip
    at = rng.integers(0, 60, count)
    near = np.sort((there.corners[at] + rng.normal(size=(count, 4)) * 4).reshape(-1, 2, 2), 1)
    near = near.reshape(-1, 4)
    found = Found(there.image[at], near, there.category[at], rng.random(count).round(2))
    return there, found, images


def test_many_boxes_and_their_masks():
    there, found, images = crowded()
    counts = np.bincount(found.image * 2 + found.category)
    alone = found._replace(image=np.zeros_like(found.image), category=found.category * 0)
    assert counts.max() > 10 and (alone.image == 0).sum() > 100
    got = compared(there, found, masks=False, images=images, categories=2)
    assert 0.1 < got.ap < 0.9 and got.ar_1 < got.ar_10 <= got.ar_100
    compared(there, alone, masks=False, images=images, categories=2)


def test_the_truth_scores_1_and_nothing_found_0_and_nothing_there_no_number():
    rows = [
        (7, (0, 0, 1, 2), 0, 0.5, 0), (3, (1, 1, 5, 6), 2, 0.5, 1), (3, (0, 0, 9, 9), 0, 1, 2),
    ]  # fmt: skip
    there, found = made(rows, crowds=True), made(rows)
    for masks in (False, True):
        scores = objects.average_precision(there, found, IMAGES, CATEGORIES, masks=masks)
        assert scores == pytest.approx([1] * 12)
        nothing = objects.average_precision(there, made([]), IMAGES, CATEGORIES, masks=masks)
        assert nothing.ap == nothing.ar_100 == 0
        empty = objects.average_precision(made([], crowds=True), found, IMAGES, 3, masks=masks)
        assert np.isnan(empty).all()
    each = objects.by_category(objects.curves(there, found, IMAGES, CATEGORIES))
    np.testing.assert_array_equal(each, [1, np.nan, 1])


def test_ap_by_hand():
    """Two objects; found are one, a wrong one and the other: precisions 1, ½, ⅔."""
    boxes = np.array([[0, 0, 40, 40], [50, 50, 90, 90], [100, 100, 140, 140.0]])
    there = There(np.zeros(2, int), boxes[[0, 2]], np.zeros(2, int))
    found = Found(np.zeros(3, int), boxes, np.zeros(3, int), np.array([0.9, 0.8, 0.7]))
    scores = objects.average_precision(there, found, Images(np.array([0])), 1)
    expected = (51 * 1 + 50 * 2 / 3) / 101  # recall ½ is met by the first
    assert scores.ap == pytest.approx(expected, abs=1e-12) and scores.ar_1 == 0.5
    assert np.isnan(scores.ap_small) and scores.ap_medium == scores.ap


def test_areas_are_of_masks_where_nobody_says_them():
    rows = [(7, (0, 0, 2, 3), 0, 0.5, 1), (3, (1, 1, 5, 6), 2, 0.5, 2)]
    there, found = made(rows, crowds=True), made(rows)
    bare = there._replace(area=None, crowd=None)
    same = objects.average_precision(there, found, IMAGES, CATEGORIES, masks=True)
    assert objects.average_precision(bare, found, IMAGES, CATEGORIES, masks=True) == pytest.approx(
        same, nan_ok=True
    )


def test_masks_may_be_pixels_runs_or_polygons():
    pixels = np.zeros((SIDE, SIDE), bool)
    pixels[16:48, 32:96] = True
    runs = objects.run_lengths(pixels)
    np.testing.assert_array_equal(objects.pixels(runs), pixels, strict=True)
    counts = np.diff(np.flatnonzero(np.diff(np.pad(pixels.T.reshape(-1), 1, mode="edge"))))
    assert runs["size"] == [SIDE, SIDE] and isinstance(runs["counts"], str) and len(counts)
    plain = {"size": [2, 3], "counts": [1, 2, 3]}
    np.testing.assert_array_equal(objects.pixels(plain), [[0, 1, 0], [1, 0, 0]])
    polygon = [[32, 16, 96, 16, 96, 48, 32, 48]]
    box = np.array([[16.0, 32, 48, 96]])
    for one in (pixels, runs, polygon):
        for other in (pixels, runs, polygon):
            there = There(np.array([7]), box, np.array([1]), masks=[one])
            found = Found(np.array([7]), box, np.array([1]), np.array([0.5]), [other])
            assert objects.average_precision(there, found, IMAGES, 2, masks=True).ap == 1


def test_what_would_be_left_out_in_silence_is_refused():
    rows = [(7, (0, 0, 2, 3), 0, 0.5, 0)]
    there, found = made(rows, crowds=True), made(rows)
    small = [np.zeros((4, 4), bool)]
    cases = {
        "an image is named twice": (there, found, Images(np.array([7, 7]), IMAGES.size[:2])),
        "found is of 1 images that are not of the set, such as 8": (
            there, found._replace(image=np.array([8])), IMAGES,
        ),
        "there has category 3, of 3 from 0": (
            there._replace(category=np.array([3])), found, IMAGES,
        ),
        "score of what is found has numbers that are not finite": (
            there, found._replace(score=np.array([np.nan])), IMAGES,
        ),
        "a box of what is found has its lower right above": (
            there, found._replace(corners=-found.corners), IMAGES,
        ),
        "found has not as many masks as objects": (there, found._replace(masks=None), IMAGES),
        r"a mask of what is there is of \[4, 4\], and image 7 of \[144, 144\]": (
            there._replace(masks=small), found, IMAGES,
        ),
        "images whose size nobody says": (there, found, Images(IMAGES.number)),
    }  # fmt: skip
    for said, args in cases.items():
        with pytest.raises(ValueError, match=said):
            objects.average_precision(*args, CATEGORIES, masks=True)


def test_without_the_library_the_command_is_said(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("faster_coco_eval"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r"faster-coco-eval: pip install 'm3i_jax\[dense\]'"):
        objects.average_precision(made([], crowds=True), made([]), IMAGES, CATEGORIES)
