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


def test_boltzmann_evidence_ignores_the_smoothing(key):
    prediction, table = jax.random.normal(key, (4, 6)), jnp.eye(6)
    target = Target(candidates=table, target_index=jnp.arange(4))
    plain, smooth = fw.boltzmann(), fw.boltzmann(label_smoothing=0.3)
    found = smooth.evidence(prediction, target, jnp.ones(4))
    loss = np.asarray(plain.score(prediction, target))
    np.testing.assert_allclose(found.prediction, -loss.mean(), rtol=1e-5)
    # Four of the six categories were used, equally often.
    np.testing.assert_allclose(found.entropy, np.log(4), rtol=1e-5)
    assert np.abs(smooth.score(prediction, target) - loss).max() > 1e-3


def test_information_is_at_most_log_of_the_valid_candidates(key):
    candidates = 50.0 * jnp.eye(4)
    valid = jnp.array([True, True, False, True])
    target = Target(
        pooled=candidates, candidates=candidates, target_index=jnp.arange(4), valid=valid
    )
    rows = valid.astype(jnp.float32) * 4 / 3
    found = fw.info_nce().evidence(candidates, target, rows)
    np.testing.assert_allclose(found.information, np.log(3), rtol=1e-5)
    assert fw.info_nce().batchwise


def test_directions_are_what_instance_discrimination_compares(key):
    one, two = jax.random.normal(key, (2, 5, 6))
    own = dict(candidates=two, target_index=jnp.arange(5), identity=jnp.arange(5))
    longer = Target(pooled=3.0 * two, **own)
    target = Target(pooled=two, **own)
    for predict in (fw.cosine(), fw.contrast(), fw.nt_xent(), fw.sought()):
        np.testing.assert_allclose(
            predict.score(2.0 * one, longer), predict.score(one, target), rtol=1e-5
        )
    unit = fw.boltzmann(unit=True, candidates="samples")
    np.testing.assert_allclose(unit.score(2.0 * one, target), unit.score(one, target), rtol=1e-5)


def test_what_is_sought_is_among_the_predictions(key):
    one, two = jax.random.normal(key, (2, 5, 6))
    found = fw.sought(temperature=0.5).score(one, Target(pooled=two, target_index=jnp.arange(5)))
    p, z = (np.float64(x) / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, two))
    logits = z @ p.T / 0.5
    want = np.log(np.exp(logits).sum(1)) - logits.diagonal()
    np.testing.assert_allclose(found, want, rtol=1e-5)


def test_barlow_twins_is_invariance_and_redundancy(key):
    one, two = jax.random.normal(key, (2, 16, 6))
    target = Target(pooled=two)
    found = fw.invariance().score(one, target).mean() + fw.redundancy(0.01).score(one, target)
    expected = losses.cross_correlation(one, two, off_diagonal=0.01)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_siglip_takes_its_bias_from_the_last_dimension(key):
    one, two = jax.random.normal(key, (2, 5, 6))
    target = Target(pooled=two, candidates=two, target_index=jnp.arange(5))
    given = jnp.concatenate([one, jnp.full((5, 1), -2.0)], axis=1)
    expected = losses.pairwise_sigmoid(one, two, jnp.arange(5), bias=-2.0)
    np.testing.assert_allclose(fw.pairwise_sigmoid().score(given, target), expected, rtol=1e-6)


def test_binary_takes_one_category_or_several(key):
    z, table = jax.random.normal(key, (3, 4)), jax.random.normal(key, (5, 4))
    one = jnp.array([4, 0, 2])
    score = lambda choice: fw.binary().score(z, Target(candidates=table, target_index=choice))  # noqa: E731
    np.testing.assert_array_equal(score(one), score(jnp.stack([one, one], 1)))
    # A further category c changes the mean over 5 by −a_c/5.
    more = score(jnp.stack([one, jnp.array([1, 1, 1])], 1))
    np.testing.assert_allclose(more - score(one), -(z @ table[1]) / 5, rtol=1e-5, atol=1e-6)


def test_alignment_is_the_weighted_regulariser(key):
    one, two = jax.random.normal(key, (2, 3, 4, 5))
    found = fw.alignment(0.02).score(one, Target(tokens=two))
    np.testing.assert_allclose(found, 0.02 * losses.alignment(one, two), rtol=1e-6)
