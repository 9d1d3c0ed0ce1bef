"""Losses of objects against float64 formulas, finite differences, and on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import losses

RNG = np.random.default_rng(29)
B, N, C = 8, 3, 4


def exact(x):
    """float64 numbers that float32 has."""
    return np.float64(np.float32(x))


LOGITS = exact(3 * RNG.normal(size=(B, N, C)))
LABELS = RNG.random((B, N, C)) < 0.3
QUALITY = np.where(LABELS, RNG.random((B, N, C)), 0).astype(np.float32)
SOFT = RNG.random((B, N, C)).astype(np.float32)
DELTAS, TARGETS = exact(RNG.normal(size=(2, B, N, 4)))


def boxes():
    middle, half = RNG.uniform(0, 30, (B, N, 2)), RNG.uniform(2, 12, (B, N, 2))
    return exact(np.concatenate([middle - half, middle + half], -1))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def focal(logits, labels, alpha=0.25, gamma=2.0):
    p = np.where(labels, sigmoid(logits), 1 - sigmoid(logits))
    return -(np.where(labels, alpha, 1 - alpha) * (1 - p) ** gamma * np.log(p)).sum(-1)


def varifocal(logits, quality, alpha=0.75, gamma=2.0):
    p, q = sigmoid(logits), np.float64(quality)
    there = -q * (q * np.log(p) + (1 - q) * np.log(1 - p))
    return np.where(q > 0, there, -alpha * p**gamma * np.log(1 - p)).sum(-1)


def dice(logits, labels, smooth=1.0):
    p, t = sigmoid(logits), np.float64(labels)
    return 1 - (2 * (p * t).sum(-1) + smooth) / (p.sum(-1) + t.sum(-1) + smooth)


def box_l1(p, t, beta=0.0):
    e = np.abs(p - t)
    return np.where(e < beta, e**2 / (2 * (beta or 1)), e - beta / 2).sum(-1)


def box_giou(p, t):
    def size(low, high):
        return np.prod(np.maximum(high - low, 0), axis=-1)

    a, b, c, d = p[..., :2], p[..., 2:], t[..., :2], t[..., 2:]
    both = size(np.maximum(a, c), np.minimum(b, d))
    union, hull = size(a, b) + size(c, d) - both, size(np.minimum(a, c), np.maximum(b, d))
    return 1 - both / union + (hull - union) / hull


CASES = {
    "focal": (losses.focal, focal, (LOGITS, LABELS), {}),
    "focal_other": (losses.focal, focal, (LOGITS, LABELS), {"alpha": 0.6, "gamma": 0.5}),
    "varifocal": (losses.varifocal, varifocal, (LOGITS, QUALITY), {}),
    "varifocal_other": (losses.varifocal, varifocal, (LOGITS, QUALITY), {"alpha": 1, "gamma": 1.5}),
    "dice": (losses.dice, dice, (LOGITS, SOFT), {}),
    "dice_of_bools": (losses.dice, dice, (LOGITS, LABELS), {"smooth": 0.5}),
    "l1": (losses.box_l1, box_l1, (DELTAS, TARGETS), {}),
    "smooth_l1": (losses.box_l1, box_l1, (DELTAS, TARGETS), {"beta": 0.7}),
    "giou": (losses.box_giou, box_giou, (boxes(), boxes()), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_of_objects_equals_its_formula(name, check):
    fn, formula, args, options = CASES[name]
    check.value(fn, formula, args, options)
    if name in ("focal_other", "varifocal", "dice", "smooth_l1", "giou"):
        check.gradient(fn, formula, args, options)
        check.devices(fn, args, options)
    check.finite(fn, args, options)


def test_without_a_focus_it_is_half_the_binary_cross_entropy():
    got = losses.focal(LOGITS, LABELS, alpha=0.5, gamma=0.0)
    np.testing.assert_allclose(2 * got, losses.bernoulli(LOGITS, LABELS).sum(-1), rtol=1e-5)


def test_what_is_sure_is_finite_with_its_gradients():
    """Logits of ±200: probabilities that are 0 in float32, of what is true and of what is not."""
    sure = np.float32([[200, -200, 200, -200, 0, 90]])
    labels = np.array([[True, True, False, False, True, False]])
    for gamma in (0.0, 0.5, 1.0, 2.0):
        for fn in (
            lambda x, g=gamma: losses.focal(x, labels, gamma=g),
            lambda x, g=gamma: losses.varifocal(x, labels.astype(np.float32), gamma=g),
        ):
            value, slope = jax.value_and_grad(lambda x, f=fn: f(x).sum())(sure)
            assert np.isfinite(value) and np.isfinite(slope).all()
            wrong = np.asarray(slope)[0][[1, 2]]
            assert wrong[0] < 0 < wrong[1]  # and they lead away from what is wrong
    assert losses.focal(sure[:, [0, 3]], labels[:, [0, 3]]) == 0


def test_an_empty_mask_that_is_said_to_be_empty_costs_nothing():
    none = np.full((2, 9), -200, np.float32)
    np.testing.assert_allclose(losses.dice(none, np.zeros((2, 9), bool)), 0, atol=1e-6)
    value, slope = jax.value_and_grad(lambda x: losses.dice(x, x * 0, smooth=0.0).sum())(none)
    assert np.isfinite(value) and np.isfinite(slope).all()
    full = losses.dice(-none, np.ones((2, 9), bool))
    np.testing.assert_allclose(full, 0, atol=1e-6)


def test_quality_has_no_gradient():
    slope = jax.grad(lambda q: losses.varifocal(jnp.float32(LOGITS), q).sum())(QUALITY)
    assert not np.asarray(slope).any()


def test_smooth_l1_is_four_times_the_mean_that_huber_is_and_l1_is_laplace():
    beta = 1 / 9
    mine = losses.box_l1(DELTAS, TARGETS, beta=beta)
    np.testing.assert_allclose(mine, 4 * losses.huber(DELTAS, TARGETS, delta=beta), rtol=1e-6)
    mine = losses.box_l1(DELTAS, TARGETS)
    np.testing.assert_allclose(mine, losses.laplace(DELTAS, TARGETS, scale=1.0), rtol=1e-6)


def test_a_box_that_is_nothing_has_a_finite_loss():
    empty = np.zeros((2, 4), np.float32)
    for target in (empty, np.float32([[0, 0, 3, 3]] * 2)):
        value, slope = jax.value_and_grad(lambda x, t=target: losses.box_giou(x, t).sum())(empty)
        assert np.isfinite(value) and np.isfinite(slope).all()
