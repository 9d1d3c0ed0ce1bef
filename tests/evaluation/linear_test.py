import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import LogisticRegression

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import Table, lars, lbfgs, linear


def tables(n=150, m=80, width=6, classes=3, noise=1.5, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width))
    scale, shift = 10.0 ** rng.uniform(-2, 2, width), 5 * rng.normal(size=width)
    made = []
    for count in (n, m):
        labels = rng.integers(0, classes, count).astype(np.int32)
        x = centres[labels] + noise * rng.normal(size=(count, width))
        made.append(Table(((x + shift) * scale).astype(np.float32), labels))
    return made


def standardised(train, x):
    x, all_x = x.astype(np.float64), train.features.astype(np.float64)
    return (x - all_x.mean(0)) / np.sqrt(all_x.var(0) + 1e-6)


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


def test_lbfgs_meets_the_condition_of_the_optimum(monkeypatch):
    monkeypatch.setattr(linear, "CHUNK", 32)  # 150 rows: five chunks, the last one padded
    l2 = 1e-2
    train, test = tables()
    fit = lbfgs(train, test, l2=l2).classifier
    x = standardised(train, train.features)
    p = np.exp(x @ fit.kernel + fit.bias)
    residual = p / p.sum(1, keepdims=True) - np.eye(3)[train.labels]
    slope = x.T @ residual / len(x) + l2 * fit.kernel
    assert abs(slope).max() < 1.1e-6  # the default tolerance, and rounding
    assert abs(residual.mean(0)).max() < 1.1e-6
    assert abs(fit.kernel).max() > 0.1


def test_the_slope_is_the_derivative_of_the_loss():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, weight = rng.normal(size=(2, 4, 3)), rng.uniform(size=(2, 4))
        y, theta = rng.integers(0, 5, (2, 4)), rng.normal(size=(4, 5))
        slope = linear._loss_and_slope(theta, x, y, weight, 0.3)[1]
        for _ in range(3):
            along = rng.normal(size=theta.shape)
            up, down = (
                linear._loss_and_slope(theta + e * along, x, y, weight, 0.3)[0]
                for e in (1e-6, -1e-6)
            )
            assert float((up - down) / 2e-6) == pytest.approx(
                float((slope * along).sum()), rel=1e-7
            )


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
    train, test = Table(x[:60], y[:60]), Table(x[60:], y[60:])
    held, rest = np.split(np.random.default_rng(0).permutation(60), [12])
    fitted, unseen = [], []
    for l2 in linear.STRENGTHS:
        peer = LogisticRegression(C=1 / (l2 * len(rest)), tol=1e-8, max_iter=10_000)
        z = standardised(Table(x[rest], y[rest]), x[:60])
        peer.fit(z[rest], y[rest])
        fitted.append(peer.score(z, y[:60]))
        unseen.append(peer.score(z[held], y[held]))
    best = linear.STRENGTHS[int(np.argmax(unseen))]
    assert best != linear.STRENGTHS[int(np.argmax(fitted))]  # a leak would choose another one
    assert lbfgs(train, test).l2 == best
    # Test labels that say the opposite must not move the choice.
    assert lbfgs(train, test._replace(labels=1 - test.labels)).l2 == best


def test_correlated_features_do_not_make_the_search_long(caplog):
    """Directions of 1 to 0.001 in size: L-BFGS in W itself takes over 1000 iterations here."""
    caplog.set_level("INFO")
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    made = []
    for count in (400, 100):
        z = rng.normal(size=(count, 40)).astype(np.float32)
        y = (z[:, :20] @ np.ones(20) + z[:, 20:] @ np.ones(20) > 0).astype(np.int32)
        made.append(Table((z * np.logspace(0, -3, 40)) @ turn, y))
    probe = lbfgs(*made, l2=1e-6, iterations=150)
    assert probe.converged
    z = standardised(made[0], made[0].features)
    p = np.exp(z @ probe.classifier.kernel + probe.classifier.bias)
    residual = p / p.sum(1, keepdims=True) - np.eye(2)[made[0].labels]
    slope = z.T @ residual / len(z) + 1e-6 * probe.classifier.kernel
    assert abs(slope).max() < 1.1e-6, "the optimum of the same problem"
    assert "strength of the penalty 1 of 1: l2 1e-06, iteration 1" in caplog.text


def test_too_few_iterations_are_admitted():
    train, test = tables()
    probe = lbfgs(train, test, l2=1e-4, iterations=3)
    assert probe.iterations == 3 and not probe.converged


def test_top5_of_more_than_five_classes():
    train, test = tables(classes=8)
    probe = lbfgs(train, test, l2=1e-2)
    scores = linear.logits(probe.classifier, test.features)
    rank = (scores > np.take_along_axis(scores, test.labels[:, None], 1)).sum(1)
    assert probe.top1 == np.mean(rank < 1)
    assert probe.top5 == np.mean(rank < 5)
    assert probe.top1 < probe.top5 < 1


@pytest.mark.parametrize("m", [1, 7, 80])
def test_scores_are_exact_counts(m, monkeypatch):
    monkeypatch.setattr(linear, "CHUNK", 4)
    train, test = tables(n=40)
    test = Table(test.features[:m], test.labels[:m])
    probe = lbfgs(train, test, l2=1e-2)
    found = linear.logits(probe.classifier, test.features).argmax(1)
    assert probe.top1 == (found == test.labels).sum() / m


def test_refusals_are_sentences():
    train, test = tables()
    unlabelled = train._replace(labels=np.where(np.arange(150) < 4, -1, train.labels))
    with pytest.raises(ValueError, match="4 rows of the training set have none"):
        lbfgs(unlabelled, test)
    with pytest.raises(ValueError, match="6 features per row and the test set 5"):
        lbfgs(train, test._replace(features=test.features[:, :5]))
    with pytest.raises(ValueError, match="label 2 is not among 2 classes"):
        lbfgs(train, test, classes=2)
    with pytest.raises(ValueError, match="test set is empty"):
        lbfgs(train, Table(test.features[:0], test.labels[:0]))
    with pytest.raises(ValueError, match="l2 is 0"):
        lbfgs(train, test, l2=0.0)
    with pytest.raises(ValueError, match="with 1 training row"):
        lbfgs(Table(train.features[:1], train.labels[:1]), test)


def test_one_step_of_lars_is_the_formula():
    rng = np.random.default_rng(0)
    w, b, g1, g2 = (rng.normal(size=s) for s in ((4, 3), 3, (4, 3), (4, 3)))
    rates = (0.5, 0.25)  # changing: the momentum must hold gradients, not steps
    tx = linear.optimizer(
        lambda count: jnp.asarray(rates)[count], momentum=0.9, weight_decay=0.1, trust=0.001
    )
    params = {"kernel": jnp.asarray(w, jnp.float32), "bias": jnp.asarray(b, jnp.float32)}
    state = tx.init(params)
    memory = np.zeros_like(w)
    expected_w, expected_b, memory_b = w.copy(), b.copy(), np.zeros_like(b)
    for rate, g in zip(rates, (g1, g2), strict=True):
        slope = {"kernel": jnp.asarray(g, jnp.float32), "bias": jnp.asarray(g[0], jnp.float32)}
        updates, state = tx.update(slope, state, params)
        params = optax.apply_updates(params, updates)
        decayed = g + 0.1 * expected_w
        ratio = 0.001 * np.linalg.norm(expected_w) / np.linalg.norm(decayed)
        memory = 0.9 * memory + ratio * decayed
        memory_b = 0.9 * memory_b + g[0]
        expected_w = expected_w - rate * memory
        expected_b = expected_b - rate * memory_b
    # Steps of about 1e-3 on numbers of about 1, in float32.
    np.testing.assert_allclose(params["kernel"], expected_w, rtol=0, atol=3e-7)
    np.testing.assert_allclose(params["bias"], expected_b, rtol=1e-6)
    assert abs(expected_w - w).max() > 1e-4


def test_an_epoch_sees_every_row_once_and_padding_never():
    # A plain gradient step over an epoch of one batch, full or not: every row weighs 1/n.
    train, _ = tables(n=7)
    x, y = jnp.asarray(standardised(train, train.features), jnp.float32), jnp.asarray(train.labels)
    params = {"kernel": jnp.zeros((6, 3)), "bias": jnp.zeros(3)}
    tx = optax.sgd(1.0)
    residual = 1 / 3 - np.eye(3)[train.labels]
    for batch in (7, 8, 64):
        found, _ = linear._epoch(tx, batch, (params, tx.init(params)), jax.random.key(0), x, y)
        np.testing.assert_allclose(found["kernel"], -x.T @ residual / 7, atol=1e-6)
    # Rates so small that steps do not interact: batches of 3, 3, 1 are means of their own rows.
    tx = optax.sgd(1e-3)
    found, _ = linear._epoch(tx, 3, (params, tx.init(params)), jax.random.key(5), x, y)
    order = np.asarray(jax.random.permutation(jax.random.key(5), 7))
    means = [np.mean(residual[rows], axis=0) for rows in np.split(order, [3, 6])]
    np.testing.assert_allclose(found["bias"] / 1e-3, -np.sum(means, axis=0), atol=5e-3)


def test_lars_comes_near_the_optimum(key):
    train, test = tables(n=512, m=200, noise=0.4)
    exact = lbfgs(train, test, l2=1e-4)
    # 512 images need a base rate 100 times that of ImageNet's 1.28 million to move as far.
    probe = lars(key, train, test, base_lr=512.0, batch=60)
    assert exact.top1 > 0.9
    assert abs(probe.top1 - exact.top1) <= 0.02
    assert probe.iterations == 90 * 9 and probe.converged is None
    again = lars(key, train, test, base_lr=512.0, batch=60)
    np.testing.assert_array_equal(probe.classifier.kernel, again.classifier.kernel)


def test_lars_has_epochs_behind_its_warmup(key):
    for epochs in (5, 10):
        with pytest.raises(ValueError, match=f"a warm-up of 10 epochs leaves nothing of {epochs}"):
            lars(key, *tables(), epochs=epochs, warmup=10)


def test_lars_begins_small_and_diverges_with_a_sentence(key):
    train, test = tables()
    still = lars(key, train, test, base_lr=0.0, epochs=2, warmup=1)
    assert 0.005 < still.classifier.kernel.std() < 0.01  # truncated normal: 0.88 of 0.01
    assert not still.classifier.bias.any()
    with pytest.raises(ConfigError, match="diverged at base_lr 1e\\+30"):
        lars(key, train, test, base_lr=1e30, trust=1.0, batch=16, epochs=20)
