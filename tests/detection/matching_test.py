"""Matching against detectron2's rule as a loop; draws by their counts and frequencies."""

import jax
import numpy as np
import pytest

from m3i_jax import detection

RNG = np.random.default_rng(8)


def drawn(*shape):
    """Boxes of whole pixels, whose areas no program rounds."""
    middle, half = RNG.integers(0, 64, (*shape, 2)), RNG.integers(4, 20, (*shape, 2))
    return np.concatenate([middle - half, middle + half], -1).astype(np.float32)


def looped(overlap, low, high, closest):
    """The rule on overlaps (N, G) of real objects."""
    n = len(overlap)
    if overlap.shape[1] == 0:
        return np.zeros(n, int), np.zeros(n, int)
    index, best = overlap.argmax(1), overlap.max(1)
    label = np.full(n, -1)
    label[best < low], label[best >= high] = 0, 1
    for g in range(overlap.shape[1] if closest else 0):
        if overlap[:, g].max() > 0:
            label[overlap[:, g] == overlap[:, g].max()] = 1
    return index, label


@pytest.mark.parametrize(
    "low, high, closest", [(0.3, 0.7, True), (0.5, 0.5, False), (0.2, 0.6, False)]
)
def test_matches_follow_the_rule(low, high, closest):
    boxes, objects = drawn(6, 80), drawn(6, 5)
    boxes[:, 40:60] = boxes[:, 20:40]  # ties
    present = np.arange(5)[None] < np.array([5, 0, 1, 3, 4, 5])[:, None]
    objects[~present] = 0
    objects[5, 2] = [900, 900, 950, 950]  # touched by nothing
    objects[4, 1] = 0  # empty, though it is said to be there
    objects[3, 1] = objects[3, 0]
    run = jax.jit(lambda *a: detection.match(*a, low=low, high=high, closest=closest))
    got = run(boxes, objects, present)
    overlap = np.array(jax.jit(detection.pairwise_iou)(boxes, objects))
    for i in range(6):
        index, label = looped(overlap[i][:, present[i]], low, high, closest)
        np.testing.assert_array_equal(got.index[i], index)
        np.testing.assert_array_equal(got.label[i], label)
        best = overlap[i][:, present[i]].max(1, initial=0)
        np.testing.assert_array_equal(got.iou[i], best)
    assert {*np.unique(got.label)} == ({-1, 0, 1} if low < high else {0, 1})


def test_all_that_reach_the_best_overlap_are_foreground():
    """Two anchors overlap the object alike, by less than `low`; a third overlaps it less."""
    anchors = np.float32([[0, 0, 4, 4], [0, 4, 4, 8], [0, 9, 4, 13], [50, 50, 54, 54]])
    thing = np.float32([[0, 2, 4, 6], [0, 12.5, 4, 33]])
    got = detection.match(anchors, thing, np.ones(2, bool), low=0.4, high=0.7, closest=True)
    np.testing.assert_array_equal(got.label, [1, 1, 1, 0])
    np.testing.assert_array_equal(got.index, [0, 0, 1, 0])
    got = detection.match(anchors, thing, np.array([True, False]), low=0.4, high=0.7, closest=True)
    np.testing.assert_array_equal(got.label, [1, 1, 0, 0])
    got = detection.match(anchors, thing, np.zeros(2, bool), low=0.4, high=0.7, closest=True)
    assert not np.asarray(got.label).any() and not np.asarray(got.iou).any()


def test_the_closest_anchor_is_found_in_a_compiled_program_whatever_it_fuses():
    """Overlaps that are computed twice may differ in their last bit, and then none is the best."""
    anchors = np.concatenate(detection.anchor_boxes([(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]))
    objects = drawn(40, 8) * np.float32(1.3)
    run = jax.jit(
        lambda o: detection.match(
            anchors, o, np.ones((40, 8), bool), low=0.3, high=0.7, closest=True
        )
    )
    got = run(objects)
    overlap = np.array(jax.vmap(lambda o: detection.pairwise_iou(anchors, o))(objects))
    nearest = overlap.argmax(1)
    assert (np.take_along_axis(np.array(got.label), nearest, 1) == 1).all()


def test_overlaps_that_only_rounding_tells_apart_are_ties():
    """Four anchors around an object, by thirds of a pixel: exactly, all overlap it alike."""
    middle = np.array([[30 + s / 3, 70 + t / 3] for s in (-10, 10) for t in (-10, 10)])
    anchors = np.concatenate([middle - 16 / 3, middle + 16 / 3], -1).astype(np.float32)
    thing = np.float32([[30 - 16 / 3, 70 - 16 / 3, 30 + 16 / 3, 70 + 16 / 3]])
    assert len(np.unique(detection.pairwise_iou(anchors, thing))) > 1
    got = detection.match(anchors, thing, np.ones(1, bool), low=0.3, high=0.7, closest=True)
    assert (np.asarray(got.label) == 1).all()


def test_thresholds_that_cross_are_refused():
    with pytest.raises(ValueError, match="under 0.7 are background and from 0.3 on objects"):
        detection.match(drawn(2), drawn(1), np.ones(1, bool), low=0.7, high=0.3)


LABELS = {  # foreground, background, ignored -> what is drawn of 8, at most half of it foreground
    (20, 30, 5): (4, 4),
    (2, 30, 20): (2, 6),
    (0, 52, 0): (0, 8),
    (30, 0, 22): (4, 0),
    (30, 2, 20): (4, 2),
    (0, 0, 52): (0, 0),
    (1, 3, 48): (1, 3),
}


@pytest.mark.parametrize("counts", LABELS)
def test_quotas_are_kept_and_filled(key, counts):
    label = np.repeat([1, 0, -1], counts)[:52]
    labels = RNG.permuted(np.tile(label, (40, 1)), axis=1)
    got = detection.sample(key, labels, count=8, positive=0.5)
    front, back = LABELS[counts]
    assert (np.asarray(got.positive).sum(1) == front).all()
    assert (np.asarray(got.valid).sum(1) == front + back).all()
    for row, index, valid, positive in zip(labels, *map(np.asarray, got), strict=True):
        np.testing.assert_array_equal(row[index[valid]], positive[valid].astype(int))
        assert len({*index[valid]}) == valid.sum()
        assert not positive[~valid].any() and not index[~valid].any()
        # Foreground first, and what is left over last.
        assert (np.diff(positive.astype(int)) <= 0).all() and (
            np.diff(valid.astype(int)) <= 0
        ).all()


def test_every_box_of_a_kind_is_drawn_alike_often(key):
    label = np.tile([1, 0, -1, 0, 1, 1, 0, 0], (20000, 1))
    got = detection.sample(key, label, count=4, positive=0.25)
    index, valid = np.asarray(got.index), np.asarray(got.valid)
    share = np.bincount(index[valid], minlength=8) / len(label)
    want = np.where(label[0] == 1, 1 / 3, np.where(label[0] == 0, 3 / 4, 0))
    np.testing.assert_allclose(share, want, atol=0.015)  # 4 standard errors of 20000 draws


def test_more_places_than_boxes_and_none_for_the_foreground(key):
    got = detection.sample(key, np.array([1, 0, 0]), count=10, positive=0.5)
    np.testing.assert_array_equal(got.valid, np.arange(10) < 3)
    assert sorted(np.asarray(got.index)[:3]) == [0, 1, 2] and got.index[0] == 0
    got = detection.sample(key, np.array([1, 0, 0]), count=3, positive=0.0)
    np.testing.assert_array_equal(got.valid, [True, True, False])
    assert not np.asarray(got.positive).any()
    whole = detection.sample(key, np.array([1, 1, 1]), count=2, positive=1.0)
    assert np.asarray(whole.positive).all()


def test_another_key_draws_others(key):
    label = np.zeros(100, int)
    one, two = (detection.sample(k, label, count=10, positive=0.5) for k in jax.random.split(key))
    assert {*np.asarray(one.index)} != {*np.asarray(two.index)}


def test_no_object_and_no_box():
    boxes, objects = drawn(3, 6), drawn(3, 2)
    found = detection.match(boxes, objects[:, :0], np.ones((3, 0), bool), closest=True)
    wanted = detection.match(boxes, objects, np.zeros((3, 2), bool), closest=True)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
        assert not a.any()  # all are background
    none = detection.match(boxes[:, :0], objects, np.ones((3, 2), bool), closest=True)
    assert none.label.shape == none.index.shape == (3, 0)
