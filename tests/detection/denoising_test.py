"""Queries of noised objects: how far corners move, what padding is, and who sees whom."""

import jax
import numpy as np

from m3i_jax.detection import denoising

BOXES = np.float32([[[0.5, 0.5, 0.4, 0.2], [0.1, 0.9, 0.2, 0.2], [0, 0, 0, 0]]])
KINDS = np.int32([[3, 0, -1]])


def corners_(boxes):
    x, y, width, height = np.moveaxis(np.float64(boxes), -1, 0)
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1)


def drawn(groups=200, **how):
    made = denoising.noised_objects(
        jax.random.key(0), BOXES, KINDS, groups=groups, classes=5, **how
    )
    return [np.asarray(x).reshape(1, groups, 2, 3, *x.shape[2:]) for x in made]


def test_corners_of_the_first_copies_move_little_and_of_the_second_far():
    boxes, _, real = drawn()
    moved = corners_(boxes[0, :, :, 0]) - corners_(BOXES[0, 0])
    shares = np.abs(moved) / (np.float64([0.4, 0.2, 0.4, 0.2]) / 2 * 0.4)
    near, far = shares[:, 0], shares[:, 1]
    assert near.max() < 1 + 1e-5 and far.min() > 1 - 1e-5 and far.max() < 2 + 1e-5
    # Uniform: means of 800 numbers, whose deviation is .29, within 5 of those of a mean.
    assert abs(near.mean() - 0.5) < 0.05 and abs(far.mean() - 1.5) < 0.05
    assert abs((moved > 0).mean() - 0.5) < 0.07
    np.testing.assert_array_equal(real[0].all((0, 1)), [True, True, False])
    beyond = corners_(boxes[0, :, :, 1])  # at the left and at the bottom
    assert beyond.min() >= -1e-6 and beyond.max() <= 1 + 1e-6
    assert (beyond[..., 0] < 1e-6).mean() > 0.3


def test_categories_are_drawn_anew_by_a_chance():
    kinds = drawn(2000)[1]
    same = (kinds[0, :, :, 0] == 3).mean()
    assert abs(same - (0.75 + 0.25 / 5)) < 0.035  # 5 deviations of 4000
    assert {*np.unique(kinds)} == {*range(5)} and not kinds[0, :, :, 2].any()
    assert (drawn(flips=0.0)[1][0, :, :, 0] == 3).all()


def test_who_sees_whom():
    """Of two groups of two queries, one of which is padding, and two others."""
    real = np.array([[True, False, True, False]])
    want = np.array([
        [1, 0, 0, 0, 1, 1], [1, 0, 0, 0, 1, 1],
        [0, 0, 1, 0, 1, 1], [0, 0, 1, 0, 1, 1],
        [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1],
    ], bool)  # fmt: skip
    np.testing.assert_array_equal(denoising.denoising_mask(real, 2, groups=2)[0, 0], want)
