"""Losses of regions: loops over places in float64, and the norms of a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import detection, losses
from m3i_jax.types import RegionAnswers

RNG = np.random.default_rng(0)
B, A, R, C, M = 3, 6, 5, 4, 2


def drawn(*shape):
    return RNG.normal(size=shape).astype(np.float32)


ANSWERS = RegionAnswers(
    anchor_logits=drawn(B, A),
    anchor_deltas=drawn(B, A, 4),
    anchor_targets=drawn(B, A, 4),
    anchor_positive=np.array([[1, 1, 0, 0, 0, 0], [0] * 6, [1] + [0] * 5], bool),
    anchor_valid=np.array([[1] * 6, [1, 1, 0, 0, 0, 0], [0] * 6], bool) | False,
    class_logits=drawn(B, R, C + 1),
    categories=np.array([[1, 0, 4, 4, 4], [4] * 5, [3, 4, 4, 4, 4]], np.int32),
    region_deltas=drawn(B, R, 4),
    region_targets=drawn(B, R, 4),
    region_positive=np.array([[1, 1, 0, 0, 0], [0] * 5, [1, 0, 0, 0, 0]], bool),
    region_valid=np.array([[1] * 5, [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], bool),
    mask_logits=drawn(B, M, 3, 3),
    mask_targets=(drawn(B, M, 3, 3) > 0).astype(np.float32),
    mask_valid=np.array([[1, 1], [0, 0], [1, 0]], bool),
)


def binary(x, t):
    p = 1 / (1 + np.exp(-np.float64(x)))
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


def softmax(x, i):
    x = np.float64(x)
    return np.log(np.exp(x).sum()) - x[i]


def test_every_loss_by_loops():
    """The mean over the batch is the sum over its places, by the number that they share."""
    a, places = ANSWERS, [(b, r) for b in range(B) for r in range(R)]
    anchors = [(b, n) for b in range(B) for n in range(A)]
    boxes = a.region_valid.sum()
    front = [p for p in places if a.region_positive[p]]
    masks = [(b, m) for b in range(B) for m in range(M) if a.mask_valid[b, m]]
    want = {
        "anchor_objectness": sum(
            binary(a.anchor_logits[p], a.anchor_positive[p]) for p in anchors if a.anchor_valid[p]
        )
        / (A * B),
        "anchor_boxes_l1": sum(
            np.abs(a.anchor_deltas[p] - a.anchor_targets[p]).sum()
            for p in anchors
            if a.anchor_positive[p]
        )
        / (A * B),
        "region_categories": sum(
            softmax(a.class_logits[p], a.categories[p]) for p in places if a.region_valid[p]
        )
        / boxes,
        "region_categories_sigmoid": sum(
            binary(a.class_logits[p][c], c == a.categories[p])
            for p in places
            if a.region_valid[p]
            for c in range(C)
        )
        / boxes,
        "region_boxes_l1": sum(
            np.abs(a.region_deltas[p] - a.region_targets[p]).sum() for p in front
        )
        / boxes,
        "region_masks": np.mean(
            [binary(a.mask_logits[p], a.mask_targets[p]).mean() for p in masks]
        ),
    }
    for name, value in want.items():
        got = getattr(losses, name)(a)
        assert got.shape == (B,) and got.dtype == jnp.float32
        np.testing.assert_allclose(got.mean(), value, rtol=1e-6, err_msg=name)
        # What an image adds is of it alone.
        assert (got[1] == 0) == (name in ("anchor_boxes_l1", "region_boxes_l1", "region_masks"))


def test_of_many_categories_some_are_compared():
    some = np.tile(np.array([1, 0, 0, 1], bool), (B, 1))
    kept = ANSWERS._replace(class_logits=ANSWERS.class_logits[..., [0, 3, 4]])
    kinds = np.select([ANSWERS.categories == 0, ANSWERS.categories == 3], [0, 1], 2)
    want = losses.region_categories_sigmoid(kept._replace(categories=kinds.astype(np.int32)))
    got = losses.region_categories_sigmoid(ANSWERS, classes=some)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_federated_loss_by_loops_has_no_gradient_of_what_is_not_compared():
    """Float64 over the boxes of each image and the categories that it draws."""
    lots = RNG.random((B, C), np.float32)
    shown = np.tile(np.float32([5, 1, 0, 9]), (B, 1))
    a = ANSWERS._replace(
        lots=lots, categories=np.where(ANSWERS.region_valid, ANSWERS.categories, 2)
    )

    def loss(logits):
        one = a._replace(class_logits=logits)
        return losses.region_categories_federated(one, shown, count=3).mean()

    got, slope = jax.value_and_grad(loss)(a.class_logits)
    kinds = np.where(a.region_valid, a.categories, -1)
    some = np.asarray(detection.compared(lots, kinds, shown, count=3))
    assert some.sum(1).tolist() == [2, 2, 2] and not some[:, 2].any()
    want, wanted = 0.0, np.zeros((B, R, C + 1))
    boxes = a.region_valid.sum()
    for b, r, c in np.argwhere(a.region_valid[..., None] & some[:, None]):
        right = c == a.categories[b, r]
        want += binary(a.class_logits[b, r, c], right) / boxes
        p = 1 / (1 + np.exp(-np.float64(a.class_logits[b, r, c])))
        wanted[b, r, c] = (p - right) / boxes
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(slope, wanted, rtol=2e-6, atol=1e-9)
    assert (np.asarray(slope)[wanted == 0] == 0).all(), "exactly"
    with pytest.raises(ValueError, match="categories of the head exclude each other: set its soft"):
        losses.region_categories_federated(ANSWERS, shown)


def test_a_batch_without_objects_is_finite_and_so_are_its_gradients():
    nothing = ANSWERS._replace(
        anchor_positive=np.zeros((B, A), bool),
        anchor_valid=np.zeros((B, A), bool),
        categories=np.full((B, R), C, np.int32),
        region_positive=np.zeros((B, R), bool),
        region_valid=np.zeros((B, R), bool),
        mask_valid=np.zeros((B, M), bool),
    )
    parts = {
        "anchor_objectness": "anchor_logits",
        "anchor_boxes_l1": "anchor_deltas",
        "region_categories": "class_logits",
        "region_boxes_l1": "region_deltas",
        "region_masks": "mask_logits",
    }
    for name, field in parts.items():

        def total(x, name=name, field=field):
            return getattr(losses, name)(nothing._replace(**{field: x})).sum()

        value, grad = jax.value_and_grad(total)(1e4 * getattr(nothing, field))
        assert value == 0 and not grad.any(), name


def test_masks_that_nobody_says_are_refused():
    with pytest.raises(ValueError, match="the head says no masks: set masks=True"):
        losses.region_masks(ANSWERS._replace(mask_logits=None))
