"""Regularisers against float64 formulas, finite differences, and on eight devices."""

import numpy as np
import pytest

from m3i_jax import losses

RNG = np.random.default_rng(1)
B, L, D = 16, 3, 5
FIRST, SECOND = (RNG.normal(size=(2, B, L, D)) * 2 + 1).astype(np.float32).astype(np.float64)


def correlations(a, b, eps=1e-5):
    a, b = (x.reshape(-1, x.shape[-1]) for x in (a, b))
    a, b = ((x - x.mean(0)) / np.sqrt(x.var(0) + eps) for x in (a, b))
    for d in range(a.shape[1]):
        for e in range(a.shape[1]):
            yield d == e, (a[:, d] * b[:, e]).mean()


def invariance(a, b):
    return np.sum([(1 - c) ** 2 for same, c in correlations(a, b) if same])


def redundancy(a, b):
    return np.sum([c**2 for same, c in correlations(a, b) if not same])


def cross_correlation(a, b, off_diagonal=5e-3):
    return invariance(a, b) + off_diagonal * redundancy(a, b)


def alignment(p, z):
    p, z = (x.reshape(-1, x.shape[-1]) for x in (p, z))
    # ẑᵀCẑ written out: the mean squared product with every target.
    return np.mean([[(a @ b) ** 2 for b in z] for a in p]) / p.shape[-1]


def unigrad(p, z, negative_weight):
    pos = ((p - z) ** 2).sum(-1).mean()
    return (pos + negative_weight * alignment(p, z) * p.shape[-1]) / p.shape[-1]


def variance(z, eps=1e-4):
    z = z.reshape(-1, z.shape[-1])
    return np.mean([max(0.0, 1 - np.sqrt(np.var(column, ddof=1) + eps)) for column in z.T])


def covariance(z):
    z = z.reshape(-1, z.shape[-1])
    matrix = np.cov(z.T)
    return (matrix**2).sum() / len(matrix) - (np.diag(matrix) ** 2).sum() / len(matrix)


def koleo(z, group=None):
    z = z.reshape(-1, z.shape[-1])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    parts = np.split(z, len(z) // group) if group else [z]
    near = [[np.sort(np.linalg.norm(x - part + 1e-8, axis=1))[1] for x in part] for part in parts]
    return -np.log(np.array(near) + 1e-8).mean()


def mean_entropy(a, temperature=1.0):
    e = np.exp(a / temperature)
    mean = (e / e.sum(-1, keepdims=True)).reshape(-1, a.shape[-1]).mean(0)
    return np.log(len(mean)) + (mean * np.log(mean)).sum()


BOTH = (FIRST, SECOND)
CASES = {
    "cross_correlation": (losses.cross_correlation, cross_correlation, BOTH, {}),
    "cross_correlation_heavy": (
        losses.cross_correlation,
        cross_correlation,
        BOTH,
        {"off_diagonal": 0.7},
    ),
    "invariance": (losses.invariance, invariance, BOTH, {}),
    "variance": (losses.variance, variance, (FIRST / 3,), {}),
    "covariance": (losses.covariance, covariance, BOTH[:1], {}),
    "redundancy": (losses.redundancy, redundancy, BOTH, {}),
    "alignment": (losses.alignment, alignment, BOTH, {}),
    "unigrad": (losses.unigrad, unigrad, BOTH, {"negative_weight": 0.02}),
    "koleo": (losses.koleo, koleo, (FIRST,), {}),
    "koleo_by_four": (losses.koleo, koleo, (FIRST,), {"group": 4}),
    "mean_entropy": (losses.mean_entropy, mean_entropy, (FIRST,), {"temperature": 0.5}),
}
STOPPED = {"alignment": (1,), "unigrad": (1,)}


@pytest.mark.parametrize("name", CASES)
def test_values_equal_the_formula(name, check):
    # Entropies of about 2 are subtracted: half a unit in their last place is 1e-7.
    check.value(*CASES[name], rtol=1e-6, atol=1e-7 if "entropy" in name else 0)
    fn, _, args, options = CASES[name]
    assert fn(*args, **options).shape == ()


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_finite_differences_and_stop_at_targets(name, check):
    fn, reference, args, options = CASES[name]
    few = tuple(a[:4] for a in args)
    check.gradient(fn, reference, few, options, stopped=STOPPED.get(name, ()), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_eight_devices_equal_one(name, check):
    fn, _, args, options = CASES[name]
    check.devices(fn, args, options)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_in_degenerate_situations(name, check):
    fn, _, args, options = CASES[name]
    check.finite(fn, tuple(a[:, 0] for a in args), options)


def test_mean_entropy_is_zero_for_even_use_and_ln_k_after_collapse():
    peaks = 100 * np.eye(4).repeat(3, 0)  # every position is sure, and all prototypes are used
    np.testing.assert_allclose(losses.mean_entropy(peaks), 0, atol=1e-6)
    np.testing.assert_allclose(losses.mean_entropy(peaks[:3]), np.log(4), rtol=1e-6)


def test_barlow_twins_is_its_two_terms():
    two = losses.invariance(*BOTH) + 0.3 * losses.redundancy(*BOTH)
    whole = losses.cross_correlation(*BOTH, off_diagonal=0.3)
    np.testing.assert_allclose(whole, two, rtol=1e-6)


def test_cross_correlation_of_equal_decorrelated_codes_is_zero():
    z, _ = np.linalg.qr(RNG.normal(size=(64, 6)))
    z = z - z.mean(0)
    z, _ = np.linalg.qr(z)  # orthogonal columns of mean 0 after centring
    value = losses.cross_correlation(z * 100, z * 100)  # large, so that eps does not show
    assert value < 1e-6
    collapsed = np.tile(z[:, :1], 6)
    np.testing.assert_allclose(
        losses.cross_correlation(collapsed * 100, collapsed * 100), 30 * 5e-3, rtol=1e-4
    )


def test_cross_correlation_ignores_shift_and_scale_of_each_dimension():
    one = losses.cross_correlation(FIRST, SECOND)
    two = losses.cross_correlation(FIRST * 7 + 3, SECOND * 0.5 - 2)
    np.testing.assert_allclose(two, one, rtol=1e-4)  # eps shows at 1e-5/variance


def test_alignment_grows_as_targets_collapse():
    spread = np.eye(D).repeat(4, 0) * np.sqrt(D)
    collapsed = np.ones((4 * D, D))
    p = RNG.normal(size=(4 * D, D))
    p = p * np.sign(p.sum(-1, keepdims=True)) + 1.0
    assert losses.alignment(p, collapsed) > 2 * losses.alignment(p, spread)


@pytest.mark.parametrize("value", [1000.3, 12345.678, 1e6 + 0.5])
def test_a_collapsed_code_agrees_with_nothing_whatever_its_size(value):
    z = np.full((1000, 4), value, np.float32)
    assert float(losses.cross_correlation(z, z, off_diagonal=1.0)) == 4.0


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1.0, 1e18, 1e25, 1e30])
@pytest.mark.parametrize("fn", [losses.invariance, losses.redundancy])
def test_correlations_of_codes_of_any_size_are_those_of_float64(fn, scale):
    """By infinite squares, large codes had no correlation at all."""
    a, b = ((x * scale).astype(np.float32) for x in BOTH)
    wanted = globals()[fn.__name__](a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(fn(a, b), wanted, rtol=1e-5, atol=1e-37)  # less is 0 in float32
