"""LARS is the formula, sees every row once, and comes near the optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.probes import lars
from m3i_jax.evaluation.probes.lars import lars as train_lars
from m3i_jax.evaluation.probes.logistic import lbfgs
from tests.evaluation.toy_features import standardised, tables


def test_one_step_of_lars_is_the_formula():
    rng = np.random.default_rng(0)
    w, b, g1, g2 = (rng.normal(size=s) for s in ((4, 3), 3, (4, 3), (4, 3)))
    rates = (0.5, 0.25)  # changing: the momentum must hold gradients, not steps
    tx = lars.optimizer(
        lambda count: jnp.asarray(rates)[count], momentum=0.9, weight_decay=0.1, trust=0.001
    )
    params = {"kernel": jnp.asarray(w, jnp.float32), "bias": jnp.asarray(b, jnp.float32)}
    state = tx.init(params)
    memory = np.zeros_like(w)
    expected_w, expected_b, memory_b = w.copy(), b.copy(), np.zeros_like(b)
    for rate, g in zip(rates, (g1, g2), strict=True):
        grad = {"kernel": jnp.asarray(g, jnp.float32), "bias": jnp.asarray(g[0], jnp.float32)}
        updates, state = tx.update(grad, state, params)
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
        found, _ = lars._epoch(tx, batch, (params, tx.init(params)), jax.random.key(0), x, y)
        np.testing.assert_allclose(found["kernel"], -x.T @ residual / 7, atol=1e-6)
    # Rates so small that steps do not interact: batches of 3, 3, 1 are means of their own rows.
    tx = optax.sgd(1e-3)
    found, _ = lars._epoch(tx, 3, (params, tx.init(params)), jax.random.key(5), x, y)
    order = np.asarray(jax.random.permutation(jax.random.key(5), 7))
    means = [np.mean(residual[rows], axis=0) for rows in np.split(order, [3, 6])]
    np.testing.assert_allclose(found["bias"] / 1e-3, -np.sum(means, axis=0), atol=5e-3)


def test_a_whole_training_is_the_formula_step_by_step(key):
    """Three epochs of 4 steps: warm-up, cosine, orders, the short last batch; float64 beside it."""
    train, test = tables(n=50)
    found = train_lars(key, train, test, base_lr=3e4, batch=16, epochs=3, warmup=1)
    x, y = standardised(train, train.features), np.eye(3)[train.labels]
    key_init, key_order = jax.random.split(key)
    w = 0.01 * np.asarray(jax.random.truncated_normal(key_init, -2.0, 2.0, (6, 3)), np.float64)
    first, b, m, m_b = w.copy(), np.zeros(3), np.zeros((6, 3)), np.zeros(3)
    for step in range(12):
        epoch, part = divmod(step, 4)
        order = np.asarray(jax.random.permutation(jax.random.fold_in(key_order, epoch), 50))
        rows = order[16 * part : 16 * (part + 1)]
        peak = 3e4 * 16 / 16384
        rate = peak * step / 4 if step < 4 else peak * (1 + np.cos(np.pi * (step - 4) / 8)) / 2
        p = np.exp(x[rows] @ w + b)
        residual = (p / p.sum(1, keepdims=True) - y[rows]) / len(rows)
        g = x[rows].T @ residual
        m = 0.9 * m + 0.001 * np.linalg.norm(w) / np.linalg.norm(g) * g
        m_b = 0.9 * m_b + residual.sum(0)
        w, b = w - rate * m, b - rate * m_b
    # Twelve steps in float32.
    np.testing.assert_allclose(found.classifier.kernel, w, rtol=0, atol=1e-4 * abs(w).max())
    np.testing.assert_allclose(found.classifier.bias, b, rtol=0, atol=1e-4 * abs(b).max())
    assert abs(w - first).max() > 0.5 * abs(first).max() and found.iterations == 12


def test_lars_comes_near_the_optimum(key):
    train, test = tables(n=512, m=200, noise=0.4)
    exact = lbfgs(train, test, l2=1e-4)
    # 512 images need a base rate 100 times that of ImageNet's 1.28 million to move as far.
    probe = train_lars(key, train, test, base_lr=512.0, batch=60)
    assert exact.top1 > 0.9
    assert abs(probe.top1 - exact.top1) <= 0.02
    assert probe.iterations == 90 * 9 and probe.converged is None
    again = train_lars(key, train, test, base_lr=512.0, batch=60)
    np.testing.assert_array_equal(probe.classifier.kernel, again.classifier.kernel)


def test_lars_has_epochs_behind_its_warmup(key):
    for epochs in (5, 10):
        with pytest.raises(ValueError, match=f"a warm-up of 10 epochs leaves nothing of {epochs}"):
            train_lars(key, *tables(), epochs=epochs, warmup=10)


def test_lars_begins_small_and_diverges_with_a_sentence(key):
    train, test = tables()
    still = train_lars(key, train, test, base_lr=0.0, epochs=2, warmup=1)
    assert 0.005 < still.classifier.kernel.std() < 0.01  # truncated normal: 0.88 of 0.01
    assert not still.classifier.bias.any()
    with pytest.raises(ConfigError, match="diverged at base_lr 1e\\+30"):
        train_lars(key, train, test, base_lr=1e30, trust=1.0, batch=16, epochs=20)
