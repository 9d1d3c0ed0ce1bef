"""Assignments to prototypes against float64 formulas, finite differences, on eight devices."""

from functools import partial

import jax
import numpy as np
import pytest

from m3i_jax import losses

RNG = np.random.default_rng(2)
B, L, K = 8, 3, 5


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


LOGITS = (2 * RNG.normal(size=(B, L, K))).astype(np.float32).astype(np.float64)
CENTRE = RNG.normal(size=K).astype(np.float32).astype(np.float64)
SHARES = softmax(LOGITS).astype(np.float32).astype(np.float64)


def sharpen(p, power):
    return p**power / (p**power).sum(-1, keepdims=True)


def sinkhorn(p, iterations=3):
    """As transport: mass 1 in all, in turn 1/K to every prototype and 1/N from every position."""
    q = p.reshape(-1, p.shape[-1]).T / p.sum()
    k, n = q.shape
    for _ in range(iterations):
        q = q / q.sum(1, keepdims=True) / k
        q = q / q.sum(0, keepdims=True) / n
    return (q * n).T.reshape(p.shape)


def balanced(a, temperature, iterations=3, per_position=False, where=None):
    """SwAV's: of exp(a/τ) as it stands, which float64 holds; what does not count is left out."""
    p = np.exp(a / temperature)
    if per_position:
        return np.stack([sinkhorn(p[:, i], iterations) for i in range(p.shape[1])], 1)
    return sinkhorn(p, iterations)


def centred(a, c, temperature):
    return softmax((a - c) / temperature)


CASES = {
    "sharpen": (losses.sharpen, sharpen, (SHARES,), {"power": 4.0}),
    "flatten": (losses.sharpen, sharpen, (SHARES,), {"power": 0.5}),
    "sinkhorn": (losses.sinkhorn, sinkhorn, (SHARES,), {}),
    "sinkhorn_once": (losses.sinkhorn, sinkhorn, (SHARES,), {"iterations": 1}),
    "balanced": (losses.balanced, balanced, (LOGITS,), {"temperature": 0.5}),
    "balanced_once": (losses.balanced, balanced, (LOGITS,), {"temperature": 0.5, "iterations": 1}),
    "balanced_apart": (
        losses.balanced,
        balanced,
        (LOGITS,),
        {"temperature": 0.5, "per_position": True},
    ),
    "centred": (losses.centred, centred, (LOGITS, CENTRE), {"temperature": 0.5}),
}


@pytest.mark.parametrize("name", CASES)
def test_values_equal_the_formula_and_sum_to_one(name, check):
    fn, reference, args, options = CASES[name]
    check.value(fn, reference, args, options, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fn(*args, **options).sum(-1), 1, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_finite_differences(name, check):
    check.gradient(*CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_eight_devices_equal_one(name, check):
    fn, _, args, options = CASES[name]
    check.devices(fn, args, options)


@pytest.mark.parametrize("name", ["sharpen", "sinkhorn", "sinkhorn_once", "centred"])
def test_gradients_are_finite_in_degenerate_situations(name, check):
    fn, _, args, options = CASES[name]
    if name == "centred":  # the centre has no rows
        fn, args = lambda a, c, **o: losses.centred(a, c[0], **o), (args[0], args[1][None])
    check.finite(fn, args, options)


def test_sharpening_a_softmax_divides_its_temperature():
    value = losses.sharpen(softmax(LOGITS), 1 / 0.25)
    np.testing.assert_allclose(value, softmax(LOGITS / 0.25), rtol=2e-6, atol=1e-7)


def test_sharpening_tiny_shares_does_not_underflow():
    even = np.full((2, 4), 1e-12, np.float32)  # their fourth powers are no float32
    np.testing.assert_allclose(losses.sharpen(even, 4.0), 0.25, rtol=1e-6)


def test_sinkhorn_ends_with_all_prototypes_used_alike():
    skewed = softmax(LOGITS + np.array([6.0, 0, 0, 0, 0]))
    before, after = skewed.sum((0, 1)), losses.sinkhorn(skewed, iterations=50).sum((0, 1))
    assert before[0] > 0.9 * B * L
    np.testing.assert_allclose(after, B * L / K, rtol=1e-4)
    thrice = losses.sinkhorn(skewed).sum((0, 1))
    assert np.ptp(thrice) < 0.1 * np.ptp(before)


def test_a_prototype_that_nobody_chooses_stays_at_zero():
    dead = SHARES.copy()
    dead[..., 1] = 0
    value = losses.sinkhorn(dead)
    assert not value[..., 1].any()
    others = sinkhorn(np.delete(dead, 1, -1))
    np.testing.assert_allclose(np.delete(value, 1, -1), others, rtol=2e-6)


def test_the_centre_takes_away_what_all_have_in_common():
    one = losses.centred(LOGITS + CENTRE, CENTRE, temperature=0.04)
    two = losses.centred(LOGITS, np.zeros(K), temperature=0.04)
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)  # logits reach 100: 1e-5 each
    assert jax.eval_shape(losses.centred, LOGITS[0, 0], CENTRE, temperature=1.0).shape == (K,)


def test_balancing_in_logarithms_is_that_of_exponentials():
    """τ = .06, 256 samples, 40 prototypes, as DINOv2 and CAPI have it; shares are not yet even."""
    a = np.random.default_rng(0).uniform(-1, 1, (256, 40)).astype(np.float32)
    shares = np.float64(losses.balanced(a, temperature=0.06))
    np.testing.assert_allclose(shares, balanced(np.float64(a), 0.06), atol=3e-7, rtol=1e-5)
    assert np.ptp(shares.sum(0)) > 0.01 * 256 / 40
    settled = losses.balanced(a, temperature=0.06, iterations=50)
    np.testing.assert_allclose(settled.sum(0), 256 / 40, rtol=1e-4)
    cold = losses.balanced(a, temperature=1e-3)  # exp(1000) is no float32
    assert np.isfinite(cold).all()
    np.testing.assert_allclose(cold.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("fn", [losses.sinkhorn, partial(losses.balanced, temperature=1.0)])
def test_only_the_positions_that_count_say_how_much_a_prototype_is_used(fn):
    counts = np.random.default_rng(1).random((B, L)) < 0.6
    given = SHARES if fn is losses.sinkhorn else np.log(SHARES)
    shares = fn(given, where=counts)
    np.testing.assert_allclose(shares[counts], sinkhorn(SHARES[counts]), rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-6)
    assert np.isfinite(fn(given, where=np.zeros((B, L), bool))).all()
