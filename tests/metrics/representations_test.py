"""The health of representations against float64 formulas and exact counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from m3i_jax import metrics

RNG = np.random.default_rng(0)


def spread(n=200, d=16):
    return RNG.normal(size=(n, d)).astype(np.float32)


def test_feature_std_is_one_on_a_sphere_and_zero_after_collapse():
    assert abs(metrics.feature_std(spread(2000)) - 1) < 0.02
    same = np.tile(spread(1), (50, 1))
    assert metrics.feature_std(same) < 1e-3
    z = spread()
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(metrics.feature_std(z), unit.std(0).mean() * 4, rtol=1e-5)
    assert metrics.feature_std(z * 100) == pytest.approx(float(metrics.feature_std(z)), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1e-7, 1.0, 1e18, 1e25, 1e30])
@pytest.mark.parametrize("shape", [(60, 8), (6, 9)])
def test_health_does_not_know_the_size_of_features(scale, shape):
    """Against float64: squares of 1e-25 are 0 in float32, and those of 1e25 infinite."""
    z = (RNG.normal(size=shape) * np.linspace(0.2, 2, shape[1]) * scale).astype(np.float32)
    exact = z.astype(np.float64)
    sphere = exact / np.linalg.norm(exact, axis=1, keepdims=True) * np.sqrt(shape[1])
    values = np.linalg.svd(exact - exact.mean(0), compute_uv=False) ** 2
    share = values / values.sum()
    wanted = np.exp(-(share * np.log(share + 1e-300)).sum()), 1 / np.square(share).sum()
    np.testing.assert_allclose(metrics.feature_std(z), sphere.std(0).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics.effective_rank(z), wanted[0], rtol=1e-4)
    np.testing.assert_allclose(metrics.participation(z), wanted[1], rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_collapsed_features_of_any_size_are_collapsed(scale):
    same = np.full((6, 4), scale, np.float32)
    for z in (same, same[:1], np.zeros((6, 4))):
        for measure in (metrics.feature_std, metrics.effective_rank, metrics.participation):
            assert float(measure(z)) == pytest.approx(0, abs=1e-6), measure
    # What varies is far smaller than what does not: two rows have one direction all the same.
    beside = np.concatenate([same[:2], 1e-37 * np.array([[1, 2], [4, 3]])], 1)
    np.testing.assert_allclose(metrics.participation(beside.astype(np.float32)), 1, rtol=1e-5)


@pytest.mark.parametrize("shape", [(200, 16), (12, 40)])
def test_effective_rank_equals_the_formula(shape):
    z = spread(*shape) * np.linspace(0.1, 2, shape[1], dtype=np.float32)
    values = np.linalg.svd((z - z.mean(0)).astype(np.float64), compute_uv=False) ** 2
    share = values / values.sum()
    wanted = np.exp(-(share * np.log(share + 1e-300)).sum())
    np.testing.assert_allclose(metrics.effective_rank(z), wanted, rtol=1e-4)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_effective_rank_counts_equal_directions(rank):
    basis, _ = np.linalg.qr(RNG.normal(size=(64, 32)))
    columns, _ = np.linalg.qr(RNG.normal(size=(200, 33)))
    columns = columns - columns.mean(0)
    columns, _ = np.linalg.qr(columns)
    z = columns[:, :rank] @ basis[:, :rank].T
    # Rounding adds 60 eigenvalues of relative size 1e-8 to 1e-7.
    np.testing.assert_allclose(metrics.effective_rank(z), rank, rtol=2e-4)


def test_effective_rank_sees_dimensional_collapse_that_the_std_does_not():
    full = spread(300, 64)
    line = spread(300, 1) * np.sign(spread(1, 64)) + 1e-3 * spread(300, 64)
    assert metrics.feature_std(line) > 0.9
    assert metrics.effective_rank(full) > 40 and metrics.effective_rank(line) < 2


def test_a_constant_has_rank_zero_and_nothing_is_nan():
    assert metrics.effective_rank(jnp.ones((5, 4))) == 0
    assert metrics.effective_rank(jnp.ones((1, 4))) == 0
    assert np.isfinite(metrics.feature_std(jnp.zeros((3, 4))))


@pytest.mark.parametrize("shape", [(200, 16), (12, 40)])
def test_participation_equals_the_formula_and_stays_below_the_effective_rank(shape):
    z = spread(*shape) * np.linspace(0.1, 2, shape[1], dtype=np.float32) + 3
    values = np.linalg.svd((z - z.mean(0)).astype(np.float64), compute_uv=False) ** 2
    wanted = values.sum() ** 2 / (values**2).sum()
    got = jax.jit(metrics.participation)(z)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    for scale in (1e-8, 1e8):  # whose fourth powers are no float32
        np.testing.assert_allclose(metrics.participation(z * scale), wanted, rtol=1e-5)
    assert 1 < got < metrics.effective_rank(z)


@pytest.mark.parametrize("measure", [metrics.participation, metrics.effective_rank])
@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e6 + 0.1])
def test_any_constant_has_no_directions(measure, value):
    assert measure(jnp.full((7, 4), value)) == 0  # 7·0.1/7 is not 0.1 in float32


def test_participation_counts_equal_directions():
    z = np.concatenate([np.eye(5, 9), -np.eye(5, 9)])
    np.testing.assert_allclose(metrics.participation(z), 5, rtol=1e-6)


def test_entropy_of_shares():
    p = RNG.dirichlet(np.ones(7), (3, 2)).astype(np.float32)
    np.testing.assert_allclose(metrics.entropy(p), scipy.stats.entropy(p, axis=-1), rtol=2e-6)
    np.testing.assert_allclose(metrics.entropy(jnp.full(8, 1 / 8)), np.log(8), rtol=1e-6)
    sure = jnp.eye(4)
    np.testing.assert_array_equal(metrics.entropy(sure), 0)
    assert np.isfinite(jax.grad(lambda p: metrics.entropy(p).sum())(sure)).all()


def test_usage_counts_choices():
    index = RNG.integers(-1, 6, (40, 5))
    wanted = np.bincount(index[index >= 0], minlength=9)
    got = jax.jit(metrics.usage, static_argnums=1)(index, 9)
    np.testing.assert_allclose(got, wanted / wanted.sum(), rtol=1e-6)
    weights = RNG.random((40, 5))
    wanted = np.bincount(index[index >= 0], weights=weights[index >= 0], minlength=9)
    got = metrics.usage(index, 9, weights=weights)
    np.testing.assert_allclose(got, wanted / wanted.sum(), rtol=1e-5)


def test_usage_ignores_what_is_no_candidate_and_of_nothing_is_zero():
    np.testing.assert_allclose(metrics.usage(np.array([-1, 0, 4, 1, 1]), 3), [1 / 3, 2 / 3, 0])
    np.testing.assert_array_equal(metrics.usage(np.full(4, -1), 3), 0)
