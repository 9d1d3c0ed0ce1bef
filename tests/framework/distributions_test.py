"""Distributions hand the right fields of a target to the right loss."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import framework as fw
from m3i_jax import losses
from m3i_jax.framework import Target


def test_gaussian_compares_tokens(key):
    one, two = jax.random.normal(key, (2, 3, 4, 5))
    found = fw.gaussian().score(one, Target(tokens=two))
    np.testing.assert_allclose(found, np.square(np.asarray(one - two)).mean(-1), rtol=1e-6)
    assert fw.gaussian().dense and not fw.gaussian().batchwise


def test_boltzmann_bound_ignores_the_smoothing(key):
    prediction, table = jax.random.normal(key, (4, 6)), jnp.eye(6)
    target = Target(candidates=table, choice=jnp.arange(4))
    plain, smooth = fw.boltzmann(), fw.boltzmann(label_smoothing=0.3)
    expected = np.log(6) - np.asarray(plain.score(prediction, target))
    np.testing.assert_allclose(smooth.bound(prediction, target), expected, rtol=1e-5)
    assert np.abs(smooth.score(prediction, target) - plain.score(prediction, target)).max() > 1e-3


def test_information_is_at_most_log_of_the_valid_candidates(key):
    candidates = 50.0 * jnp.eye(4)
    valid = jnp.array([True, True, False, True])
    target = Target(candidates=candidates, choice=jnp.arange(4), valid=valid)
    bound = fw.info_nce().bound(candidates, target)
    np.testing.assert_allclose(bound[valid], np.log(3), rtol=1e-5)
    assert fw.info_nce().batchwise


def test_alignment_is_the_weighted_regulariser(key):
    one, two = jax.random.normal(key, (2, 3, 4, 5))
    found = fw.alignment(0.02).score(one, Target(tokens=two))
    np.testing.assert_allclose(found, 0.02 * losses.alignment(one, two), rtol=1e-6)
