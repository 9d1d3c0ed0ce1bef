"""What a set of boxes says of an image, and where it begins; tests/parity has transformers'."""

import numpy as np

from m3i_jax.detection import box_sets
from m3i_jax.detection.box_sets import QueryBoxes


def test_logits_of_shares_are_finite():
    shares = np.float32([0, 1e-4, 0.2, 0.5, 0.999, 1, 1.5])
    got = box_sets.logit(shares)
    s = np.clip(np.float64(shares), 1e-3, 1 - 1e-3)
    np.testing.assert_allclose(got[2:5], np.log(s / (1 - s))[2:5], rtol=1e-4)
    low = np.log(1e-3)  # as published, the other part is not made less
    np.testing.assert_allclose(np.float64(got)[[0, 5, 6]], [low, -low, -low], rtol=1e-5)


def test_beginnings_are_around_cells():
    logits, inside = (np.asarray(x[0]) for x in box_sets.proposal_boxes(((2, 4), (1, 1), (200, 1))))
    boxes = 1 / (1 + np.exp(-np.float64(logits)))
    np.testing.assert_allclose(boxes[5], [1.5 / 4, 0.75, 0.05, 0.05], rtol=1e-5)
    np.testing.assert_allclose(boxes[8], [0.5, 0.5, 0.1, 0.1], rtol=1e-5)
    assert inside[:9].all() and [*inside[[9, 10, 11, -3, -2, -1]]] == [0, 0, 1, 1, 0, 0]
    assert (boxes[9] == 1).all() and np.isfinite(logits).all()


def test_the_best_pairs_by_hand():
    categories = np.float32([[[-3, 2], [1, 0], [-5, -5]]])
    boxes = np.float32([[[0.5, 0.5, 1, 1], [0.25, 0.5, 0.1, 0.2], [0, 0, 0, 0]]])
    got = box_sets.best_boxes(QueryBoxes(categories, boxes), size=(20, 40), count=3)
    np.testing.assert_array_equal(got.categories, [[1, 0, 1]])
    np.testing.assert_allclose(got.scores, [1 / (1 + np.exp([-2, -1, 0]))], rtol=1e-6)
    own = [8, 8, 12, 12]
    np.testing.assert_allclose(got.corners, [[[0, 0, 20, 40], own, own]], rtol=1e-5)
    assert box_sets.best_boxes(QueryBoxes(categories, boxes), size=(20, 40)).scores.shape == (1, 6)
