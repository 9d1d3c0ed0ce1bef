"""Masks of boxes against PyTorch's grid_sample, a loop, and the discs that they are of."""

import functools

import jax
import numpy as np
import pytest

from m3i_jax import detection

RNG = np.random.default_rng(23)
SIZE = (60, 80)
BOXES = np.float32(
    [[10.3, 12.8, 40.1, 70.2], [-8, -5, 22, 31], [50, 60, 90, 120], [5, 5, 6.2, 60], [0, 0, 60, 80]]
)


def discs():
    """Discs of the image inside each box, clipped to it."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    middle, half = (BOXES[:, :2] + BOXES[:, 2:]) / 2, (BOXES[:, 2:] - BOXES[:, :2]) / 2
    at = lambda i, c: ((c[None] - middle[:, i, None, None]) / half[:, i, None, None]) ** 2  # noqa: E731
    return (at(0, y) + at(1, x) <= 1).astype(np.uint8)


def overlap(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def test_pasting_equals_the_rule_at_every_pixel():
    masks = RNG.random((5, 14, 10)).astype(np.float32)
    got = detection.pasted(masks, BOXES, SIZE)
    value = np.zeros((5, *SIZE))
    for n, i, j in np.ndindex(5, *SIZE):
        top, left, bottom, right = np.float64(BOXES[n])
        y = (i + 0.5 - top) / (bottom - top) * 14 - 0.5
        x = (j + 0.5 - left) / (right - left) * 10 - 0.5
        for r in (int(np.floor(y)), int(np.floor(y)) + 1):
            for c in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= r < 14 and 0 <= c < 10:
                    value[n, i, j] += (1 - abs(y - r)) * (1 - abs(x - c)) * masks[n, r, c]
    sure = np.abs(value - 0.5) > 1e-5  # where float32 cannot fall on the other side
    assert sure.mean() > 0.99 and got.any((1, 2)).all()
    np.testing.assert_array_equal(got[sure], (value >= 0.5)[sure])


def test_pasting_is_that_of_grid_sample():
    torch = pytest.importorskip("torch")
    masks = RNG.random((5, 28, 28)).astype(np.float32)
    y, x = np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5
    top, left, bottom, right = (np.float64(BOXES[:, i, None]) for i in range(4))
    y, x = (y - top) / (bottom - top) * 2 - 1, (x - left) / (right - left) * 2 - 1
    shape = (5, *SIZE)
    grid = np.stack([np.broadcast_to(x[:, None], shape), np.broadcast_to(y[..., None], shape)], -1)
    value = torch.nn.functional.grid_sample(
        torch.from_numpy(np.float64(masks))[:, None], torch.from_numpy(grid), align_corners=False
    )[:, 0].numpy()
    for threshold in (0.3, 0.5):
        got = detection.pasted(masks, BOXES, SIZE, threshold=threshold)
        sure = np.abs(value - threshold) > 1e-5
        np.testing.assert_array_equal(got[sure], (value >= threshold)[sure])


def test_a_mask_that_is_cut_and_pasted_is_itself():
    masks = discs()
    frames = np.asarray(detection.cut(masks, BOXES, size=(56, 56)))
    back = detection.pasted(frames, BOXES, SIZE)
    for one, two in zip(masks.astype(bool), back, strict=True):
        assert overlap(one, two) > 0.95
    assert masks[3].any()  # a box that is a pixel high


def test_cutting_is_roi_align_of_the_mask():
    masks = discs()
    inside = np.clip(BOXES, 0, [*SIZE, *SIZE]).astype(np.float32)
    got = jax.jit(functools.partial(detection.cut, size=(28, 28)))(masks, inside)
    want = detection.roi_aligned(
        masks[..., None].astype(np.float32), inside[:, None], size=(28, 28)
    )[:, 0, ..., 0]
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert {*np.unique(np.asarray(got) >= 0.5)} == {False, True}


def test_a_mask_in_its_own_frame_is_itself():
    masks = RNG.integers(0, 2, (2, 3, 9, 7)).astype(np.uint8)
    frame = np.broadcast_to(np.float32([3, 10, 21, 24]), (2, 3, 4))  # two pixels a cell
    got = detection.reframed(masks, frame, frame, size=(9, 7))
    np.testing.assert_allclose(got, masks, atol=1e-6)


def test_another_frame_sees_what_it_covers_and_nothing_beside_it():
    mask = np.ones((1, 4, 4), np.uint8)
    frame = np.float32([[10, 10, 18, 18]])
    there = lambda *box: detection.reframed(mask, frame, np.float32([box]), size=(4, 4))[0]  # noqa: E731
    np.testing.assert_array_equal(there(10, 10, 18, 18), 1)
    np.testing.assert_array_equal(there(12, 12, 14, 14), 1)
    want = np.zeros((4, 4))
    want[1:3, 1:3] = 1
    np.testing.assert_array_equal(there(6, 6, 22, 22), want)
    np.testing.assert_array_equal(there(2, 10, 18, 18), np.repeat([0, 0, 1, 1], 4).reshape(4, 4))
    for box in ((18, 10, 26, 18), (12, 12, 12, 14), (14, 14, 12, 16)):
        assert not np.asarray(there(*box)).any()
    empty = detection.reframed(mask, np.float32([[5, 5, 5, 9]]), frame, size=(4, 4))
    assert not np.asarray(empty).any()


def test_targets_of_proposals_are_nearly_those_of_the_full_mask():
    """By way of a frame of 112 cells, which is all that a batch has of a mask."""
    masks = discs()[[0, 4, 4]]
    own = BOXES[[0, 4, 4]]
    kept = (np.asarray(detection.cut(masks, own, size=(112, 112))) >= 0.5).astype(np.uint8)
    proposals = np.float32([[8, 8, 30, 75], [3, -10, 66, 70], [20, 20, 50, 79]])
    got = np.asarray(detection.reframed(kept, own, proposals, size=(28, 28))) >= 0.5
    want = np.asarray(detection.cut(masks, proposals, size=(28, 28))) >= 0.5
    for one, two in zip(got, want, strict=True):
        assert overlap(one, two) > 0.97 and 0.1 < two.mean() < 0.98


def test_boxes_of_nothing_have_no_pixel():
    boxes = np.float32([[5, 5, 5, 9], [9, 9, 3, 12], [np.nan, 0, 4, 4], [-30, -30, -20, -20]])
    assert not detection.pasted(np.ones((4, 7, 7), np.float32), boxes, SIZE).any()
    assert detection.pasted(np.ones((0, 7, 7), np.float32), boxes[:0], SIZE).shape == (0, *SIZE)
