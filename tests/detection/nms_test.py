"""Non-maximum suppression against the greedy loop on thousands of sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import detection


def greedy(overlaps, scores, threshold, kinds=None, valid=None):
    """The loop, on overlaps that are given, so that both compare the same numbers."""
    n = len(scores)
    kinds = np.zeros(n, int) if kinds is None else kinds
    keep = np.zeros(n, bool)
    for i in np.argsort(-scores, kind="stable"):
        over = (overlaps[i] > threshold) & keep & (kinds == kinds[i])
        keep[i] = (valid is None or valid[i]) and not over.any()
    return keep


def drawn(rng, sets, n, spread):
    """Boxes, many of which overlap, and some of which are empty or the same; scores that tie.

    They are of whole pixels, so that areas are exact and overlaps those of any program.
    """
    middle, half = rng.integers(0, spread, (sets, n, 2)), rng.integers(0, 20, (sets, n, 2))
    boxes = np.concatenate([middle - half, middle + half], -1)
    boxes[rng.random((sets, n)) < 0.1, 2:] = 0  # inside out
    again = rng.integers(0, n, (sets, n))
    same = rng.random((sets, n)) < 0.2
    boxes[same] = np.take_along_axis(boxes, again[..., None], 1)[same]
    scores = np.round(rng.random((sets, n)) * 10) / 10
    return boxes.astype(np.float32), scores.astype(np.float32)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7])
def test_what_stays_is_what_the_greedy_loop_keeps(threshold):
    rng = np.random.default_rng(int(10 * threshold))
    boxes, scores = drawn(rng, 1000, 12, 40)
    kinds, valid = rng.integers(0, 3, scores.shape), rng.random(scores.shape) < 0.8
    run = jax.jit(lambda *a: detection.non_maximum_suppression(*a[:2], threshold=threshold))
    by_kind = jax.jit(
        lambda b, s, k, v: detection.non_maximum_suppression(
            b, s, threshold=threshold, categories=k, valid=v
        )
    )
    got, got_kind = np.array(run(boxes, scores)), np.array(by_kind(boxes, scores, kinds, valid))
    overlaps = np.array(jax.jit(detection.pairwise_iou)(boxes, boxes))
    for i in range(len(boxes)):
        want = greedy(overlaps[i], scores[i], threshold)
        np.testing.assert_array_equal(got[i], want)
        want = greedy(overlaps[i], scores[i], threshold, kinds[i], valid[i])
        np.testing.assert_array_equal(got_kind[i], want)
    assert 0.1 < got.mean() < 0.9


@pytest.mark.parametrize("spread", [30, 300])
def test_five_hundred_boxes_of_two_images(spread):
    boxes, scores = drawn(np.random.default_rng(spread), 2, 500, spread)
    got = detection.non_maximum_suppression(boxes, scores, threshold=0.5)
    overlaps = np.array(detection.pairwise_iou(boxes, boxes))
    for i in range(2):
        np.testing.assert_array_equal(got[i], greedy(overlaps[i], scores[i], 0.5))


def test_a_chain_of_boxes_that_suppress_each_other_takes_its_length():
    """Each overlaps its neighbours by 2/3 alone: every second one stays."""
    left = np.arange(64, dtype=np.float32) * 2
    boxes = np.stack([0 * left, left, 0 * left + 10, left + 10], -1)
    scores = np.linspace(1, 0, 64, dtype=np.float32)
    got = detection.non_maximum_suppression(boxes, scores, threshold=0.6)
    np.testing.assert_array_equal(got, np.arange(64) % 2 == 0)


def test_an_overlap_of_exactly_the_threshold_stays():
    boxes = np.float32([[0, 0, 2, 2], [0, 0, 1, 2], [0, 0, 2, 2]])
    scores = np.float32([0.5, 0.9, 0.5])
    keep = detection.non_maximum_suppression(boxes, scores, threshold=0.5)
    np.testing.assert_array_equal(keep, [True, True, False])  # of equal ones the first


def test_what_is_not_valid_or_has_no_score_suppresses_nothing():
    boxes = np.float32([[0, 0, 2, 2]] * 4)
    scores = np.float32([9, np.nan, 1, 2])
    valid = np.array([False, True, True, True])
    keep = detection.non_maximum_suppression(boxes, scores, threshold=0.5, valid=valid)
    np.testing.assert_array_equal(keep, [False, False, False, True])
    none = detection.non_maximum_suppression(
        boxes, scores, threshold=0.5, valid=~(scores == scores)
    )
    assert not none.any()


def test_the_best_of_what_stays_have_a_fixed_number_of_places():
    keep = np.array([[True, False, True, True], [False, False, True, False]])
    scores = np.float32([[0.2, 0.9, 0.7, 0.7], [0.1, 0.2, -3, 0.5]])
    index, found = detection.top_kept(keep, scores, count=2)
    np.testing.assert_array_equal(index, [[2, 3], [2, 0]])
    np.testing.assert_array_equal(found, [[True, True], [True, False]])
    index, found = detection.top_kept(keep, scores, count=6)
    np.testing.assert_array_equal(index, [[2, 3, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(found.sum(-1), [3, 1])


def test_the_proposals_of_five_levels_in_one_program():
    """2000 of each: the bools of all levels and the program's own are 100 MB, no floats of N²."""
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((5, 2000, 4), (5, 2000))]
    run = jax.jit(lambda b, s: detection.non_maximum_suppression(b, s, threshold=0.7))
    used = run.lower(*shapes).compile().memory_analysis().temp_size_in_bytes
    assert used < 100e6
