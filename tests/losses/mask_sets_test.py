"""Losses of sets of masks in float64, with scipy's assignment; tests/parity has transformers'."""

import functools

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from m3i_jax import losses
from m3i_jax.detection import points as drawing
from m3i_jax.detection.mask_sets import MaskAnswers
from m3i_jax.types import Objects
from tests.detection.points_test import read_

SIZE, CLASSES, QUERIES, POINTS = (16, 20), 4, 5, 8


def answers(outputs=2, queries=QUERIES):
    rng = np.random.default_rng(0)
    points = drawing.random_points(
        jax.random.key(1), 2, outputs, points=POINTS, oversampled=3.0, doubtful=0.75
    )
    return MaskAnswers(
        np.float32(rng.normal(size=(2, outputs, queries, CLASSES + 1))),
        np.float32(2 * rng.normal(size=(2, outputs, queries, 4, 5))),
        points,
    )


def objects():
    """Two, and one beside padding."""
    corners = np.zeros((2, 3, 4), np.float32)
    corners[0, 0], corners[0, 1], corners[1, 0] = (1, 2, 9, 12), (0, 0, 16, 20), (4, 5, 15, 9)
    kinds = np.int32([[2, 0, -1], [3, -1, -1]])
    masks = np.uint8(np.random.default_rng(1).random((2, 3, 6, 5)) < 0.6)
    return Objects(corners, kinds, masks)


def labels():
    """Of 8x10 pixels: categories 0 and 2, and 1 beside pixels that nobody has named."""
    map_ = np.zeros((2, 8, 10), np.uint8)
    map_[0, :, 5:] = 2
    map_[1] = 255
    map_[1, 3:6, 2:9] = 1
    return map_


def object_(given, b, g, point):
    """How much of an object is at a point, in float64."""
    top, left, bottom, right = np.float64(given.corners[b, g])
    rows, columns = given.masks.shape[2:]
    y, x = point[0] * SIZE[0], point[1] * SIZE[1]
    place = (y - top) / (bottom - top) * rows - 0.5, (x - left) / (right - left) * columns - 0.5
    return read_(given.masks[b, g], *place)


def category_(map_, b, kind, point):
    return read_(map_[b] == kind, point[0] * 8 - 0.5, point[1] * 10 - 0.5)


def sigmoid_(x):
    return 1 / (1 + np.exp(-x))


def dice_(l, t):
    return 1 - (2 * (sigmoid_(l) * t).sum() + 1) / (sigmoid_(l).sum() + t.sum() + 1)


def bce_(l, t):
    return (np.logaddexp(0, l) - l * t).mean()


def image_(categories, masks, points, kinds, true):
    """(Σ w CE, Σ w, Σ BCE, Σ dice) of one output of an image; true(g, point)."""
    at = lambda q, where: np.array([  # noqa: E731
        read_(masks[q], p[0] * masks.shape[1] - 0.5, p[1] * masks.shape[2] - 0.5) for p in where
    ])  # fmt: skip
    of = lambda g, where: np.array([true(g, p) for p in where])  # noqa: E731
    p = np.exp(categories) / np.exp(categories).sum(-1, keepdims=True)
    cost = np.zeros((len(masks), len(kinds)))
    for q, g in np.ndindex(cost.shape):
        l, t = at(q, points.matching), of(g, points.matching)
        cost[q, g] = 5 * bce_(l, t) - 2 * p[q, kinds[g]] + 5 * dice_(l, t)
    target, sums = np.full(len(masks), CLASSES), [0.0, 0.0]
    for q, g in zip(*linear_sum_assignment(cost), strict=True):
        target[q] = kinds[g]
        l = at(q, points.candidates)
        chosen = points.candidates[np.argsort(np.abs(l))[:6]]
        where = np.concatenate([chosen, points.others])
        l, t = at(q, where), of(g, where)
        sums = [sums[0] + bce_(l, t), sums[1] + dice_(l, t)]
    w = np.where(target == CLASSES, 0.1, 1.0)
    ce = -np.log(p[np.arange(len(masks)), target])
    return (w * ce).sum(), w.sum(), *sums


def wanted(given, kinds, true):
    """(B,) of the three losses, summed over outputs."""
    given = jax.tree.map(np.float64, given)
    total, count = np.zeros((3, 2)), sum(len(k) for k in kinds)
    for output in range(given.masks.shape[1]):
        rows = []
        for b in range(2):
            one = jax.tree.map(lambda x, b=b, o=output: x[b, o], given)
            rows.append(image_(*one, kinds[b], functools.partial(true, b)))
        ce, w, mask, dice = np.array(rows).T
        total += 2 * np.stack([ce / w.sum(), mask / max(count, 1), dice / max(count, 1)])
    return total


@jax.jit
def of_labels(given, map_):
    targets = losses.masks_of_categories(map_, classes=CLASSES, most=3)
    return targets.categories, losses.mask_set(given, targets)


def test_objects_in_float64():
    given, things = answers(), objects()
    kinds = [[2, 0], [3]]
    want = wanted(given, kinds, lambda b, g, p: object_(things, b, g, p))
    _, got = graded(given, things)
    np.testing.assert_allclose(np.stack(got), want, rtol=2e-5)
    np.testing.assert_allclose(got.weighted(), 2 * want[0] + 5 * want[1] + 5 * want[2], rtol=2e-5)


def test_categories_of_pixels_in_float64():
    given, map_ = answers(), labels()
    found, got = of_labels(given, map_)
    assert {*np.asarray(found[0])} == {0, 2, -1} and [*np.asarray(found[1])] == [1, -1, -1]
    kinds = [[int(k) for k in row if k >= 0] for row in np.asarray(found)]
    want = wanted(given, kinds, lambda b, g, p: category_(map_, b, kinds[b][g], p))
    np.testing.assert_allclose(np.stack(got), want, rtol=2e-5)


@jax.jit
def graded(given, things):
    """The losses, and the gradient of the masks."""

    def total(masks):
        targets = losses.masks_of_objects(things, size=SIZE)
        made = losses.mask_set(given._replace(masks=masks), targets)
        return made.weighted().sum(), made

    return jax.grad(total, has_aux=True)(given.masks)


def test_images_without_objects_have_losses_of_nothing_alone():
    given, things = answers(), objects()
    empty = Objects(0 * things.corners, np.full((2, 3), -1, np.int32), things.masks)
    grad, got = graded(given, empty)
    assert not np.asarray(got.mask).any() and not np.asarray(got.dice).any()
    p = np.float64(jax.nn.log_softmax(given.categories, axis=-1))[..., -1]
    np.testing.assert_allclose(got.category, 2 * -p.sum((1, 2)) / (2 * QUERIES), rtol=1e-5)
    assert not np.asarray(grad).any()


def test_gradients_reach_matched_queries_alone():
    grad, _ = graded(answers(), objects())
    moved = np.asarray(grad).any((3, 4)).sum(2)
    np.testing.assert_array_equal(moved, [[2, 2], [1, 1]])


def test_the_largest_categories_are_kept_where_there_are_too_many():
    targets = losses.masks_of_categories(labels(), classes=CLASSES, most=1)
    assert targets.categories.shape == (2, 1) and targets.categories[1, 0] == 1
    whole = np.broadcast_to(np.float32([0.55, 0.5]), (2, 1, 2))  # row 4, inside of category 1
    np.testing.assert_allclose(targets.at(whole)[1], [[1.0]], rtol=1e-6)


def test_objects_without_masks():
    with pytest.raises(ValueError, match="gets objects that have none"):
        losses.masks_of_objects(objects()._replace(masks=None), size=SIZE)
