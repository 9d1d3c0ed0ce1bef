"""The optimum is scikit-learn's, and the condition of an optimum holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.probes import logistic
from m3i_jax.evaluation.probes.logistic import lbfgs
from tests.evaluation.toy_features import standardised, tables


@pytest.mark.parametrize("l2", [1e-1, 1e-3])
def test_lbfgs_equals_scikit_learn(l2):
    train, test = tables()
    probe = lbfgs(train, test, l2=l2, tolerance=1e-8)
    peer = LogisticRegression(C=1 / (l2 * len(train.labels)), tol=1e-10, max_iter=10_000)
    peer.fit(standardised(train, train.features), train.labels)
    # Both minimise one strictly convex function and stop at slightly different distances from it.
    np.testing.assert_allclose(probe.classifier.kernel, peer.coef_.T, atol=1e-4)
    shift = probe.classifier.bias - peer.intercept_  # softmax does not see a common shift
    np.testing.assert_allclose(shift, shift.mean(), atol=1e-4)
    assert probe.top1 == peer.score(standardised(train, test.features), test.labels)
    assert 0.4 < probe.top1 < 0.95
    assert probe.converged and 5 < probe.iterations < 500 and probe.top5 is None


@pytest.mark.parametrize("small", [True, False])
def test_lbfgs_meets_the_condition_of_the_optimum(monkeypatch, small):
    monkeypatch.setattr(logistic, "CHUNK", 32)  # 150 rows: five chunks, the last one padded
    if not small:  # float32 first
        monkeypatch.setattr(logistic, "SMALL", 0)
    l2 = 1e-2
    train, test = tables()
    fit = lbfgs(train, test, l2=l2).classifier
    x = standardised(train, train.features)
    p = np.exp(x @ fit.kernel + fit.bias)
    residual = p / p.sum(1, keepdims=True) - np.eye(3)[train.labels]
    grad = x.T @ residual / len(x) + l2 * fit.kernel
    assert abs(grad).max() < 1.1e-6  # the default tolerance, and rounding
    assert abs(residual.mean(0)).max() < 1.1e-6
    assert abs(fit.kernel).max() > 0.1


def test_the_slope_is_the_derivative_of_the_loss():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, weight = rng.normal(size=(3, 4, 3)), rng.uniform(size=(3, 4))
        y, v = rng.integers(0, 5, (3, 4)), jnp.asarray(rng.normal(size=(4, 5)))
        basis, spread = np.linalg.qr(rng.normal(size=(3, 3)))[0], np.array([0.5, 1.0, 2.0])
        data = logistic.Problem(
            x, y, weight, np.int32(2), basis, spread, np.float64(0.3), np.sqrt(2)
        )
        data = jax.tree.map(jnp.asarray, data)
        value, grad, size = logistic._objective(v, data)
        shifted = logistic._objective(v, data._replace(x=data.x.at[2].add(9.0)))[0]
        assert value == shifted, "a chunk behind the last one counts for nothing"
        for _ in range(3):
            along = rng.normal(size=v.shape)
            up, down = (logistic._objective(v + e * along, data)[0] for e in (1e-6, -1e-6))
            assert float((up - down) / 2e-6) == pytest.approx(float((grad * along).sum()), rel=1e-7)
        own = np.concatenate([basis @ (grad[:3] / spread[:, None]), grad[3:] / np.sqrt(2)])
        assert float(size) == pytest.approx(abs(own).max(), rel=1e-12)


def test_fewer_rows_than_features_have_the_same_optimum():
    """The search is among combinations of the rows, where the optimum lies."""
    rng = np.random.default_rng(1)
    made = []
    for count in (40, 30):
        y = rng.integers(0, 3, count).astype(np.int32)
        x = rng.normal(size=(count, 90)) + np.eye(3)[y] @ rng.normal(size=(3, 90))
        made.append(FeatureSet(x.astype(np.float32), y))
    probe = lbfgs(*made, l2=1e-3, tolerance=1e-8)
    peer = LogisticRegression(C=1 / (1e-3 * 40), tol=1e-10, max_iter=10_000)
    peer.fit(standardised(made[0], made[0].features), made[0].labels)
    np.testing.assert_allclose(probe.classifier.kernel, peer.coef_.T, atol=1e-4)
    assert probe.converged and probe.iterations < 60


def test_a_search_that_began_elsewhere_ends_at_the_same_optimum():
    train, _ = tables()
    half = FeatureSet(train.features[:75], train.labels[:75])
    how = dict(tolerance=1e-8, limit=500, rows=150, exact=True)
    (start,) = logistic.path(half, 3, (1e-2,), **how)
    (cold,), (warm,) = (
        logistic.path(train, 3, (1e-2,), start=s, **how) for s in (None, start.classifier)
    )
    np.testing.assert_allclose(warm.classifier.kernel, cold.classifier.kernel, atol=1e-5)
    (still,) = logistic.path(train, 3, (1e-2,), start=cold.classifier, **how)
    assert still.iterations == 0 < cold.iterations


def test_lbfgs_is_deterministic_and_blind_to_scale():
    train, test = tables()
    one, two = lbfgs(train, test, l2=1e-3), lbfgs(train, test, l2=1e-3)
    np.testing.assert_array_equal(one.classifier.kernel, two.classifier.kernel)
    big, small = (t._replace(features=t.features * np.float32(4096)) for t in (train, test))
    assert lbfgs(big, small, l2=1e-3).top1 == pytest.approx(one.top1, abs=1 / 80)


def test_l2_is_chosen_on_a_held_out_fifth_of_the_training_rows():
    # 60 rows of 30 features, 2 of them of use: weak penalties overfit, as the held-out fifth tells.
    rng = np.random.default_rng(4)
    x = rng.normal(size=(160, 30)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] + 0.5 * rng.normal(size=160) > 0).astype(np.int32)
    train, test = FeatureSet(x[:60], y[:60]), FeatureSet(x[60:], y[60:])
    held, rest = np.split(np.random.default_rng(0).permutation(60), [12])
    fitted, unseen = [], []
    for l2 in logistic.STRENGTHS:
        peer = LogisticRegression(C=1 / (l2 * len(rest)), tol=1e-8, max_iter=10_000)
        z = standardised(FeatureSet(x[rest], y[rest]), x[:60])
        peer.fit(z[rest], y[rest])
        fitted.append(peer.score(z, y[:60]))
        unseen.append(peer.score(z[held], y[held]))
    best = logistic.STRENGTHS[int(np.argmax(unseen))]
    assert best != logistic.STRENGTHS[int(np.argmax(fitted))]  # a leak would choose another one
    assert lbfgs(train, test).l2 == best
    # Test labels that say the opposite must not move the choice.
    assert lbfgs(train, test._replace(labels=1 - test.labels)).l2 == best


@pytest.mark.parametrize("rows, count", [(60, 1), (20, 2)])
def test_correlations_are_decomposed_once_where_every_weight_has_coordinates(
    monkeypatch, rows, count
):
    """Of 12 features for the choice and the fit at once; 16 of 20 rows span not all of 40."""
    rng = np.random.default_rng(0)
    width = 12 if count == 1 else 40
    x = rng.normal(size=(rows, width)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=rows) > 0).astype(np.int32)
    train, calls, eigh = FeatureSet(x, y), [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda m: calls.append(m.shape) or eigh(m))
    found = lbfgs(train, train)
    assert len(calls) == count and found.converged
    how = dict(tolerance=1e-6, limit=2000, rows=rows, exact=True, quiet=True)
    (fresh,) = logistic.path(train, 2, (found.l2,), **how)
    assert fresh.directions.whole is (count == 1)
    # The optimum is unique, and the gradient there at most 1e-6 of a curvature of l2 or more.
    atol = 4e-6 / found.l2
    np.testing.assert_allclose(found.classifier.kernel, fresh.classifier.kernel, atol=atol)


def test_correlated_features_do_not_make_the_search_long(caplog):
    """Directions of 1 to 0.001 in size: L-BFGS in W itself takes over 1000 iterations here."""
    caplog.set_level("INFO")
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    made = []
    for count in (400, 100):
        z = rng.normal(size=(count, 40)).astype(np.float32)
        y = (z[:, :20] @ np.ones(20) + z[:, 20:] @ np.ones(20) > 0).astype(np.int32)
        made.append(FeatureSet((z * np.logspace(0, -3, 40)) @ turn, y))
    probe = lbfgs(*made, l2=1e-6, iterations=150)
    assert probe.converged
    z = standardised(made[0], made[0].features)
    p = np.exp(z @ probe.classifier.kernel + probe.classifier.bias)
    residual = p / p.sum(1, keepdims=True) - np.eye(2)[made[0].labels]
    grad = z.T @ residual / len(z) + 1e-6 * probe.classifier.kernel
    assert abs(grad).max() < 1.1e-6, "the optimum of the same problem"
    assert "strength of the penalty 1 of 1: correlations of 40 features" in caplog.text


def test_too_few_iterations_are_admitted():
    train, test = tables()
    probe = lbfgs(train, test, l2=1e-4, iterations=3)
    assert probe.iterations == 3 and not probe.converged


def test_refusals_are_sentences():
    train, test = tables()
    unlabelled = train._replace(labels=np.where(np.arange(150) < 4, -1, train.labels))
    with pytest.raises(ValueError, match="training set has 4 rows without a label"):
        lbfgs(unlabelled, test)
    with pytest.raises(ValueError, match="6 features per row and the test set 5"):
        lbfgs(train, test._replace(features=test.features[:, :5]))
    with pytest.raises(ValueError, match="label 2 is not among 2 classes"):
        lbfgs(train, test, classes=2)
    with pytest.raises(ValueError, match="test set is empty"):
        lbfgs(train, FeatureSet(test.features[:0], test.labels[:0]))
    with pytest.raises(ValueError, match="l2 is 0"):
        lbfgs(train, test, l2=0.0)
    with pytest.raises(ValueError, match="the training set has one only"):
        lbfgs(FeatureSet(train.features[:1], train.labels[:1]), test)
