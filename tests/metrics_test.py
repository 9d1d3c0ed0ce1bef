"""Metrics against counting by hand and float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from m3i_jax import losses, metrics

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_hits_equal_a_stable_sort(k):
    logits = RNG.integers(0, 5, (200, 10)).astype(np.float32)  # many ties
    labels = RNG.integers(0, 10, 200)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    wanted = (best == labels[:, None]).any(1)
    np.testing.assert_array_equal(metrics.hits(logits, labels, k=k), wanted)


def test_a_constant_output_scores_chance():
    labels = np.arange(10)
    assert metrics.accuracy(np.ones((10, 10)), labels) == np.float32(0.1)
    assert metrics.accuracy(np.ones((10, 10)), labels, k=5) == 0.5


def test_nan_and_padding_are_never_right():
    logits = np.array([[np.nan, 1, 0], [0, np.nan, 1], [3, 1, 2], [9, 1, 2]], np.float32)
    labels = np.array([0, 2, 0, -1])
    np.testing.assert_array_equal(metrics.hits(logits, labels), [False, False, True, False])


def test_padding_is_never_counted():
    logits, labels = RNG.normal(size=(30, 4)), RNG.integers(0, 4, 30)
    score = metrics.accuracy(logits, labels)
    assert score == np.float32((logits.argmax(1) == labels).mean())
    padded = np.concatenate([logits, np.zeros((10, 4))])
    assert metrics.accuracy(padded, np.r_[labels, np.full(10, -1)]) == score
    weights = np.r_[np.ones(30), np.zeros(10)]
    np.testing.assert_allclose(
        metrics.accuracy(padded, np.r_[labels, np.zeros(10, int)], weights=weights), score
    )
    assert metrics.accuracy(padded, np.full(40, -1)) == 0


def test_weights_weigh():
    logits = np.eye(3)
    value = metrics.accuracy(logits, np.array([0, 1, 0]), weights=np.array([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(value, 3 / 8)


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
