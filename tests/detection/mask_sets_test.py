"""What a set of masks says of cells and of objects, in float64 and by hand."""

import jax
import numpy as np

from m3i_jax.detection import mask_sets


def softmax_(x):
    e = np.exp(np.float64(x) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid_(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def test_cells_are_sums_over_queries():
    rng = np.random.default_rng(0)
    categories, masks = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 4, 6))
    got = mask_sets.semantic_map(np.float32(categories), np.float32(masks))
    p, inside = softmax_(categories)[..., :-1], sigmoid_(masks)
    want = np.einsum("bqk,bqhw->bhwk", p, inside)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def drawn():
    """Two images of 8x12 pixels: masks of 4x6 cells with a rectangle, one with none, one whole."""
    masks = np.full((2, 4, 4, 6), -8, np.float32)
    masks[0, 0, 1:3, 2:5] = 8
    masks[0, 1, 0:1, 0:2] = 2
    masks[0, 3] = 1
    masks[1, 2, 2:, 4:] = 4
    categories = np.zeros((2, 4, 4), np.float32)
    categories[0, [0, 1, 2, 3], [2, 0, 1, 3]] = 6, 5, 9, 3  # the last is nothing
    categories[1, 2, 1] = 7
    return categories, masks


def test_objects_by_hand():
    categories, masks = drawn()
    run = jax.jit(lambda c, m: mask_sets.mask_instances(c, m, size=(8, 12), found=4, side=4))
    got = run(categories, masks)
    assert got.corners.shape == (2, 4, 4) and got.masks.shape == (2, 4, 4, 4)
    # Between 8 and −8 a boundary is half way between centres of cells, at the edge of a pixel.
    np.testing.assert_array_equal(got.corners[0, 0], [2, 4, 6, 10])
    assert got.categories[0, 0] == 2 and (np.diff(got.scores) <= 0).all()
    p = softmax_(categories[0, 0])[2]
    assert p * sigmoid_(8 * 0.25) < got.scores[0, 0] < p
    # 2 falls to −8 within two pixels: only those beside the centre of a cell are inside.
    np.testing.assert_array_equal(got.corners[0, 1], [0, 0, 1, 3])
    np.testing.assert_array_equal(got.corners[1, 0], [4 + 0, 8 + 0, 8, 12])
    assert got.categories[1, 0] == 1
    nothing = np.asarray(got.scores) == 0
    assert nothing.any() and (np.asarray(got.categories)[nothing] == -1).all()
    frame = np.asarray(got.masks[0, 0])
    assert (frame > 0.5).all() and frame[1:3, 1:3].min() > frame[0, 0]


def test_a_frame_reads_its_mask_between_cells():
    """A slope, whose frame has the values of a slope."""
    slope = np.broadcast_to(np.linspace(-1.0, 2.0, 7, dtype=np.float32), (1, 1, 5, 7))
    got = mask_sets.mask_instances(np.zeros((1, 1, 2), np.float32), slope, size=(10, 14), side=3)
    top, left, bottom, right = np.asarray(got.corners[0, 0])
    assert (top, bottom, right) == (0, 10, 14)
    place = np.clip((left + (np.arange(3) + 0.5) / 3 * (right - left)) / 2 - 0.5, 0, 6)
    np.testing.assert_allclose(
        got.masks[0, 0], np.broadcast_to(sigmoid_(place / 2 - 1), (3, 3)), rtol=1e-5
    )


def test_no_more_objects_than_pairs():
    categories, masks = drawn()
    got = mask_sets.mask_instances(categories, masks, size=(8, 12), found=100)
    assert got.scores.shape == (2, 12) and got.masks.shape == (2, 12, 64, 64)
