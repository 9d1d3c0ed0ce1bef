"""Boxes against loops over float64 numbers, finite differences, and what degenerates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import detection

RNG = np.random.default_rng(3)
EMPTY = np.array(
    [
        [0, 0, 0, 0],
        [3, 3, 3, 8],
        [3, 3, 8, 3],
        [8, 8, 3, 3],  # turned inside out
        [5, 2, 1, 9],
        [-40, 70, -30, 90],
        [1e-9, 1e-9, 2e-9, 2e-9],
        [1e-20, 0, 2e-20, 1e-20],
        [-1e9, -1e9, 1e9, 1e9],
    ],
    np.float32,
)


def drawn(*shape, side=64.0):
    """Boxes in and around an image; float32 numbers, so that both sides get the same."""
    middle, half = RNG.uniform(-8, side, (*shape, 2)), RNG.uniform(0.5, side / 3, (*shape, 2))
    return np.concatenate([middle - half, middle + half], -1).astype(np.float32)


def overlap(a, b):
    """IoU and GIoU of two boxes, from the formula."""
    a, b = np.float64(a), np.float64(b)
    sides = lambda x: np.maximum(x[2:] - x[:2], 0)  # noqa: E731
    common = np.prod(sides(np.r_[np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])]))
    union = np.prod(sides(a)) + np.prod(sides(b)) - common
    hull = np.prod(sides(np.r_[np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])]))
    iou = common / union if union > 0 else 0.0
    return iou, iou - ((hull - union) / hull if hull > 0 else 0.0)


def test_overlaps_equal_the_formula():
    a, b = drawn(2, 9), drawn(2, 7)
    want = np.array([[[overlap(x, y) for y in b[i]] for x in a[i]] for i in range(2)])
    # float32 has 6e-8 of areas that are differences of coordinates up to 100.
    for i, fn in enumerate((detection.pairwise_iou, detection.pairwise_giou)):
        np.testing.assert_allclose(fn(a, b), want[..., i], rtol=1e-5, atol=1e-6)
    want = np.array([overlap(x, y) for x, y in zip(a[0, :7], b[0], strict=True)])
    for i, fn in enumerate((detection.iou, detection.giou)):
        np.testing.assert_allclose(fn(a[0, :7], b[0]), want[:, i], rtol=1e-5, atol=1e-6)
    sides = np.float64(a[..., 2:]) - a[..., :2]
    np.testing.assert_allclose(detection.area(a), sides.prod(-1), rtol=1e-5)


@pytest.mark.parametrize("name", [0, 1])
def test_gradients_of_overlaps_equal_finite_differences(name):
    fn = (detection.iou, detection.giou)[name]
    a, b = drawn(12), drawn(12)
    got = jax.grad(lambda x: fn(x, b).sum())(jnp.asarray(a))
    want, step = np.zeros((12, 4)), 1e-6
    for i, k in np.ndindex(12, 4):
        ends = []
        for sign in (step, -step):
            moved = np.float64(a[i])
            moved[k] += sign
            ends.append(overlap(moved, b[i])[name])
        want[i, k] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_what_is_empty_overlaps_nothing_and_has_finite_gradients():
    for fn in (detection.pairwise_iou, detection.pairwise_giou):
        value, slopes = jax.value_and_grad(lambda x, y: fn(x, y).sum(), (0, 1))(EMPTY, EMPTY)  # noqa: B023
        assert np.isfinite(value) and all(np.isfinite(s).all() for s in slopes)
    got = np.array(detection.pairwise_iou(EMPTY, EMPTY))
    np.testing.assert_array_equal(got[:5], 0)
    np.testing.assert_array_equal(got.diagonal()[5:], [1, 0, 0, 1])  # areas under 1e-15 are none
    assert (np.abs(detection.pairwise_giou(EMPTY, EMPTY)) <= 1).all()
    assert (detection.area(EMPTY)[:5] == 0).all()


def test_equal_boxes_overlap_wholly_and_touching_ones_not_at_all():
    boxes = drawn(50)
    np.testing.assert_allclose(detection.iou(boxes, boxes), 1, rtol=1e-6)
    np.testing.assert_allclose(detection.giou(boxes, boxes), 1, rtol=1e-6)
    one, beside = np.float32([0, 0, 2, 2]), np.float32([0, 2, 2, 4])
    assert detection.iou(one, beside) == 0 and detection.giou(one, beside) == 0
    assert detection.giou(one, np.float32([0, 6, 2, 8])) == -0.5


def test_decoding_is_the_inverse_of_encoding():
    boxes, reference = drawn(3, 40), drawn(3, 40)
    for weights in ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0), (1.0, 2.0, 3.0, 4.0)):
        said = detection.encode(boxes, reference, weights=weights)
        back = detection.decode(said, reference, weights=weights)
        np.testing.assert_allclose(back, boxes, atol=3e-5)  # ulps of numbers up to 100


def test_deltas_equal_the_formula():
    boxes, reference = drawn(20), drawn(20)
    (t, l, b, r), (tr, lr, br, rr) = np.float64(boxes).T, np.float64(reference).T
    want = [
        10 * ((l + r) - (lr + rr)) / 2 / (rr - lr),
        10 * ((t + b) - (tr + br)) / 2 / (br - tr),
        5 * np.log((r - l) / (rr - lr)),
        5 * np.log((b - t) / (br - tr)),
    ]
    got = detection.encode(boxes, reference, weights=(10.0, 10.0, 5.0, 5.0))
    np.testing.assert_allclose(got, np.stack(want, -1), rtol=1e-5, atol=1e-4)


def test_a_box_is_never_more_than_62_times_its_anchor():
    reference = np.float32([[0, 0, 16, 8]])
    wide = detection.decode(np.float32([[0, 0, 50, 100]]), reference)
    middle = [8 - 500, 4 - 250, 8 + 500, 4 + 250]
    np.testing.assert_allclose(wide[0], middle, rtol=1e-5)


def test_deltas_of_what_is_empty_are_none():
    for args in ((EMPTY[:5], drawn(5)), (drawn(5), EMPTY[:5])):
        value, slopes = jax.value_and_grad(lambda x, y: detection.encode(x, y).sum(), (0, 1))(*args)
        assert value == 0 and not any(np.asarray(s).any() for s in slopes)


def test_centres_are_those_of_detr_and_lead_back():
    got = detection.to_centres(np.float32([2, 10, 6, 30]))
    np.testing.assert_array_equal(got, [20, 4, 20, 4])
    boxes = drawn(4, 5)
    back = detection.from_centres(detection.to_centres(boxes))
    np.testing.assert_allclose(back, boxes, atol=1e-5)


def test_boxes_end_with_the_image():
    got = detection.clip(
        np.float32([[-5, 3, 50, 70], [-9, -9, -1, -2], [90, 90, 99, 99]]), (40, 60)
    )
    np.testing.assert_array_equal(got, [[0, 3, 40, 60], [0, 0, 0, 0], [40, 60, 40, 60]])
    sides = jnp.float32(40), jnp.float32(60)
    np.testing.assert_array_equal(detection.clip(np.float32([-5, 3, 50, 70]), sides), got[0])


def test_sixteen_bits_become_float32():
    boxes = jnp.asarray(drawn(3), jnp.bfloat16)
    for fn in (detection.iou, detection.giou, detection.encode, detection.decode):
        assert fn(boxes, boxes).dtype == jnp.float32
    for fn in (
        detection.area,
        detection.to_centres,
        functools.partial(detection.clip, extent=(9, 9)),
    ):
        assert fn(boxes).dtype == jnp.float32
