"""LVIS's AP beside the rule written down in loops, on awkward sets; without lists it is COCO's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3i_jax.metrics import federated, objects
from m3i_jax.metrics.objects import Found
from tests.metrics.coco_objects import CATEGORIES, IMAGES, made, sets

pytest.importorskip("faster_coco_eval")

AREAS = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))
LISTS = st.lists(
    st.lists(st.integers(0, CATEGORIES - 1), max_size=2, unique=True), min_size=3, max_size=3
)


def overlap(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = np.prod(np.maximum(high - low, 0))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both
    return both / union if both else 0.0  # also of two without an area


def by_rule(there, found, images, category, area, threshold, most):
    """(101 precisions, recall) of one category, or None where no object of that size is there."""
    scores, right, ignored, count = [], [], [], 0
    inside = lambda size: area[0] <= size <= area[1]  # noqa: E731
    for image in sorted(images.number):
        place = images.number.tolist().index(image)
        own = np.flatnonzero((there.image == image) & (there.category == category))
        own = sorted(own, key=lambda n: not inside(there.area[n]))  # those that count first
        count += sum(inside(there.area[n]) for n in own)
        if not len(own) and category not in images.negative[place]:
            continue
        of_image = sorted(np.flatnonzero(found.image == image), key=lambda n: -found.score[n])[
            :most
        ]
        taken = set()
        for n in (n for n in of_image if found.category[n] == category):
            best, at = min(threshold, 1 - 1e-10), None
            for m in own:
                if m in taken:
                    continue
                if at is not None and inside(there.area[at]) and not inside(there.area[m]):
                    break
                if not overlap(found.corners[n], there.corners[m]) < best:
                    best, at = overlap(found.corners[n], there.corners[m]), m
            size = np.prod(found.corners[n, 2:] - found.corners[n, :2])
            if at is not None:
                taken.add(at)
                ignore = not inside(there.area[at])
            else:
                ignore = not inside(size) or category in images.not_exhaustive[place]
            scores.append(found.score[n]), right.append(at is not None), ignored.append(ignore)
    if not count:
        return None
    order = np.argsort(-np.array(scores), kind="stable")
    kept = [n for n in order if not ignored[n]]
    hits = np.cumsum([right[n] for n in kept])
    precision = hits / np.arange(1, len(kept) + 1)
    recall = hits / count
    best = [max(precision[recall >= r], default=0) for r in np.linspace(0, 1, 101)]
    return np.array(best), recall[-1] if len(recall) else 0


@given(sets(), LISTS, LISTS, st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_lvis_as_the_rule_says(drawn, negative, partial, most):
    there, found = drawn
    there = there._replace(crowd=np.zeros(len(there.image), bool), masks=None)
    images = IMAGES._replace(negative=negative, not_exhaustive=partial)
    got = federated.curves(there, found, images, CATEGORIES, most=most)
    for category in range(CATEGORIES):
        for size, area in enumerate(AREAS):
            for t in (0, 5, 9):
                rule = by_rule(there, found, images, category, area, 0.5 + t * 0.05, most)
                precision, recall = got.precision[t, :, category, size, 0], got.recall[t]
                if rule is None:
                    assert np.isnan(precision).all() and np.isnan(recall[category, size, 0])
                    continue
                np.testing.assert_allclose(precision, rule[0], rtol=0, atol=1e-12)
                assert recall[category, size, 0] == pytest.approx(rule[1], abs=1e-12)


def test_the_numbers_are_means_of_groups():
    rows = [(7, (0, 0, 2, 3), 0, 0.5, 0), (3, (1, 1, 5, 6), 1, 0.5, 0), (3, (0, 0, 9, 9), 2, 1, 0)]
    there = made(rows, crowds=True)._replace(crowd=None)
    found = made(rows[:1] + [(3, (0, 0, 1, 1), 1, 0.9, 0)] + rows[1:2])
    for masks in (False, True):
        scores = federated.average_precision(there, found, IMAGES, ("r", "c", "f"), masks=masks)
        assert (scores.ap_rare, scores.ap_frequent) == pytest.approx((1, 0))
        assert scores.ap_common == pytest.approx(0.5)  # behind a surer one that is wrong
        assert scores.ap == pytest.approx(0.5) and scores.ar == pytest.approx(2 / 3)
    none = federated.average_precision(there, found, IMAGES, ("r", "r", "r"))
    assert np.isnan(none.ap_common) and none.ap_rare == scores.ap
    with pytest.raises(ValueError, match="frequency 'x', expected one of r, c, f"):
        federated.average_precision(there, found, IMAGES, ("r", "x", "f"))


def test_where_every_category_was_looked_for_it_is_coco():
    rng = np.random.default_rng(0)
    rows = [
        (int(rng.choice(IMAGES.number)), tuple(rng.integers(0, 9, 4)), int(rng.integers(3)), 1.0, 0)
        for _ in range(30)
    ]
    there = made(rows[:15], crowds=True)._replace(crowd=None)
    found = made(rows)._replace(score=rng.random(30))
    images = IMAGES._replace(negative=[range(3)] * 3)
    one = federated.curves(there, found, images, 3)
    other = objects.curves(there, found, images, 3, most=[300])
    np.testing.assert_array_equal(one.precision, other.precision)
    np.testing.assert_array_equal(one.recall, other.recall)


def test_the_surest_of_an_image_whatever_they_are():
    image = np.array([4, 2, 4, 2, 4])
    found = Found(image, np.zeros((5, 4)), np.arange(5), np.array([0.5, 0.1, 0.5, 0.9, 0.7]))
    found = found._replace(masks=[{"size": [1, 1], "counts": [n, 1 - n % 2]} for n in range(5)])
    assert federated.surest(found, 2).tolist() == [0, 1, 3, 4]
    assert federated.surest(found, 1).tolist() == [3, 4]
    few = federated.chosen(found, federated.surest(found, 1))
    assert few.category.tolist() == [3, 4] and few.masks == found.masks[3:]
    assert federated.surest(made([]), 3).tolist() == []
