"""Information against float64 formulas and channels whose information is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import losses, metrics

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("sizes", [(1e-25, 1e-25), (1e25, 1e25), (1e-3, 1e4), (1e18, 1e22), (1, 1)])
def test_information_of_gaussians_of_any_size(sizes):
    """Each entropy moves by the logarithm of the size, and nothing else does."""
    z, error = RNG.normal(size=(2, 500, 6))
    target = (z * sizes[1]).astype(np.float32)
    prediction = (target.astype(np.float64) - error * sizes[0]).astype(np.float32)
    got = metrics.gaussian_information(prediction, target)
    constant, wanted = np.log(2 * np.pi * np.e), []
    exact = target.astype(np.float64)
    least = 1e-4 * exact.var(0).mean()
    for sign, x in ((-1, exact - prediction), (1, exact - exact.mean(0))):
        values = np.linalg.eigvalsh(x.T @ x / len(x)) + least
        wanted.append(sign * 0.5 * (constant + np.log(values).mean()))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_information_bound():
    assert metrics.information_bound(jnp.zeros(3), 8) == pytest.approx(np.log(8))
    traced = jax.jit(metrics.information_bound)(jnp.ones(()), jnp.asarray(16))
    np.testing.assert_allclose(traced, np.log(16) - 1, rtol=1e-6)


def test_information_bound_lies_below_the_truth():
    """Correlated Gaussian pairs, whose mutual information is −½ log(1 − ρ²)."""
    rho, n = 0.9, 512
    x = RNG.normal(size=n)
    y = rho * x + np.sqrt(1 - rho**2) * RNG.normal(size=n)
    # The best critic, log p(y|x), as a product of features: −(y − ρx)²/2s up to f(x).
    s = 1 - rho**2
    first = np.stack([rho * x / s, np.ones(n)], 1)
    second = np.stack([y, -(y**2) / (2 * s)], 1)
    loss = losses.boltzmann(first, second, np.arange(n, dtype=np.int32)).mean()
    bound, truth = float(metrics.information_bound(loss, n)), -0.5 * np.log(s)
    # 2000 draws of 512 pairs in float64: 0.077 below the truth, standard deviation 0.042.
    assert truth - 0.2 < bound < truth + 0.05


def gaussian_information(prediction, target):
    p, z = (x.astype(np.float64).reshape(-1, x.shape[-1]) for x in (prediction, target))
    covariance, error = np.cov(z.T, bias=True), (z - p).T @ (z - p) / len(z)
    floor = 1e-4 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    logs = [np.linalg.slogdet(m + floor)[1] / len(floor) for m in (error, covariance)]
    error, spread = (0.5 * (np.log(2 * np.pi * np.e) + x) for x in logs)
    return -error, spread


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_gaussian_information_equals_the_formula(scale):
    z = ((RNG.normal(size=(30, 7, 5)) @ RNG.normal(size=(5, 5)) + 3) * scale).astype(np.float32)
    p = (z + scale * RNG.normal(size=z.shape)).astype(np.float32)
    got = jax.jit(metrics.gaussian_information)(p, z)
    np.testing.assert_allclose(got, gaussian_information(p, z), rtol=1e-5, atol=1e-5)


def test_gaussian_information_of_a_noisy_channel():
    """z = s + n, predicted by E[z|s] = s: the information is ½ ln(1 + σ_s²/σ_n²) per dimension."""
    s, n = RNG.normal(size=(20000, 6)) * 2, RNG.normal(size=(20000, 6)) * 0.5
    known = sum(metrics.gaussian_information(s, s + n))
    # The standard error of half a log variance over 120000 numbers is 0.002.
    np.testing.assert_allclose(known, 0.5 * np.log(1 + 4 / 0.25), atol=0.01)
    unknown = sum(metrics.gaussian_information(np.zeros_like(s), s + n))
    np.testing.assert_allclose(unknown, 0, atol=0.01)


@pytest.mark.parametrize("rank", [1, 2, 20])
def test_gaussian_information_survives_collapse(rank):
    """In float32 a floor of 1e-4 alone is lost beside one direction that has all variance."""
    z = (RNG.normal(size=(1000, rank)) @ RNG.normal(size=(rank, 768))).astype(np.float32)
    _, got = jax.jit(metrics.gaussian_information)(z, z)
    _, wanted = gaussian_information(z + 1, z)
    # (Σλ⁴)^¼ is 768·rank^−¾ mean variances, more where the directions are not equally strong.
    raised = 0.5 * np.log(max(1, 1.1 * 1e-2 * 768 * rank**-0.75))
    assert -0.01 < got - wanted < raised + 0.01


def test_gaussian_information_of_a_constant_is_finite():
    likelihood, h = metrics.gaussian_information(jnp.full((5, 4), 0.1), jnp.full((5, 4), 0.1))
    # Nothing is known of it and nothing is there to know: −½ ln(2πe·1e-30·1e-4).
    np.testing.assert_allclose([likelihood, -h], 37.7, atol=0.1)


def test_gaussian_information_of_a_missed_constant_is_finite():
    got = metrics.gaussian_information(jnp.zeros((50, 4)), jnp.ones((50, 4)))
    assert np.isfinite(got).all()
