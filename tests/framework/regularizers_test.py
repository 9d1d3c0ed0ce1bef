"""Regularisers hand the right fields to the right loss."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import framework as fw
from m3i_jax import losses
from m3i_jax.framework import Target


def test_each_is_its_loss_times_its_weight(key):
    one, two = jax.random.normal(key, (2, 16, 6))
    target = Target(pooled=two)
    found = {
        "redundancy": (fw.redundancy(0.3), 0.3 * losses.redundancy(one, two)),
        "koleo": (fw.koleo(group=4), losses.koleo(one, group=4)),
        "mean_entropy": (fw.mean_entropy(2.0), 2.0 * losses.mean_entropy(one)),
    }
    for name, (regularize, want) in found.items():
        np.testing.assert_allclose(regularize.score(one, target), want, rtol=1e-6, err_msg=name)


def test_what_repeats_is_not_spread(key):
    z = jax.random.normal(key, (8, 6))
    twice = jnp.concatenate([z[:4], z[:4]])
    score = lambda z: float(fw.koleo().score(z, None))  # noqa: E731
    assert score(twice) > 10 > 1 > score(z)
    gradient = jax.grad(lambda z: fw.koleo().score(z, None))(twice)
    assert np.isfinite(gradient).all()


def test_a_term_may_be_its_regulariser_alone(key):
    found = fw.nothing().score(jax.random.normal(key, (5, 6)), None)
    np.testing.assert_array_equal(found, np.zeros(5))
