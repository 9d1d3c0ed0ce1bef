"""Distances from a Gaussian along directions: float64 formulas, quadrature, published values."""

import jax
import numpy as np
import pytest

from m3i_jax import losses

stats = pytest.importorskip("scipy.stats")

RNG = np.random.default_rng(0)
CODES = 0.8 * RNG.normal(size=(16, 3, 5)) + 0.3
ALONG = np.float32(losses.directions(jax.random.key(0), 5, 7))


def epps_pulley(z):
    u = z.reshape(-1, z.shape[-1]) @ np.float64(ALONG)
    t = np.linspace(0, 3, 17)[:, None, None]
    phi = np.exp(-(t[:, 0] ** 2) / 2)
    squares = np.abs(np.exp(1j * t * u).mean(1) - phi) ** 2
    return len(u) * 2 * np.trapezoid(squares * phi, dx=3 / 16, axis=0).mean()


def sliced_wasserstein(z, eps=1e-4):
    z = z.reshape(-1, z.shape[-1])
    u = np.sort(((z - z.mean(0)) / (z.std(0) + eps)) @ np.float64(ALONG), axis=0)
    q = stats.norm.ppf(np.arange(1, len(z) + 1) / (len(z) + 1))
    return ((u - q[:, None]) ** 2).mean()


def location_scale(z):
    z = z.reshape(-1, z.shape[-1])
    return (z.mean(0) ** 2).mean() + ((1 - z.std(0)) ** 2).mean()


CASES = {
    "epps_pulley": (lambda z: losses.epps_pulley(z, ALONG), epps_pulley),
    "sliced_wasserstein": (lambda z: losses.sliced_wasserstein(z, ALONG), sliced_wasserstein),
    "location_scale": (losses.location_scale, location_scale),
}


@pytest.mark.parametrize("name", CASES)
def test_values_equal_the_formula_on_any_number_of_devices(name, check):
    check.value(*CASES[name], (CODES,), {}, rtol=5e-6, atol=0)
    check.devices(CASES[name][0], (CODES,), {})
    check.finite(CASES[name][0], (CODES[:, 0],), {})


@pytest.mark.parametrize("name", ["epps_pulley", "location_scale"])
def test_gradients_equal_finite_differences(name, check):
    check.gradient(*CASES[name], (CODES[:3],), {}, rtol=1e-4, atol=5e-6)


def test_the_shape_does_not_pull_at_the_scale():
    slope = jax.grad(lambda s: losses.sliced_wasserstein(s * np.float32(CODES), ALONG))
    z = CODES.reshape(-1, 5)
    u = ((z - z.mean(0)) / (z.std(0) + 1e-4)) @ np.float64(ALONG)
    q = stats.norm.ppf(np.arange(1, len(z) + 1) / (len(z) + 1))[:, None]
    u = np.sort(u, axis=0)
    # With σ held, d/ds at 1 is that of (s u − q)².
    np.testing.assert_allclose(slope(1.0), 2 * ((u - q) * u).mean(), rtol=1e-4)


@pytest.mark.parametrize(
    "count, drawn, wide, rtol",
    [(128, 1.14, 32, 0.1), (512, 1.13, 124, 0.1), (2048, 1.05, 488, 0.1)],
)
def test_sigreg_is_about_one_for_a_gaussian_and_grows_with_the_batch_otherwise(
    count, drawn, wide, rtol
):
    """Values of another implementation, in NumPy, of 1024 directions in 64 dimensions."""
    along = losses.directions(jax.random.key(1), 64, 1024)
    z = np.float32(np.random.default_rng(count).normal(size=(count, 64)))
    sigreg = jax.jit(lambda z: losses.epps_pulley(z, along))
    np.testing.assert_allclose(sigreg(z), drawn, rtol=rtol)
    np.testing.assert_allclose(sigreg(2 * z), wide, rtol=rtol)
    np.testing.assert_allclose(sigreg(0 * z) / count, 0.402, rtol=2e-3)


def test_directions_are_unit_vectors():
    np.testing.assert_allclose(np.linalg.norm(ALONG, axis=0), 1, rtol=1e-6)
