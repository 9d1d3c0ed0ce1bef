"""Evidence of mutual information against cases whose information is known."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import framework as fw
from m3i_jax.framework import Target, information


def test_a_gaussian_channel_is_measured(key):
    # z = s + n with var(s) = 1, var(n) = 0.25, s known: I = ½ ln(1.25/0.25) nats per dimension.
    signal, noise = jax.random.normal(key, (2, 4096, 8))
    target = signal + 0.5 * noise
    found = information.of_pooled(signal, Target(pooled=target), jnp.ones(4096))
    np.testing.assert_allclose(found.information, 0.5 * np.log(1.25 / 0.25), atol=0.02)
    np.testing.assert_allclose(found.spread, 1.0, atol=0.02)
    assert 7.9 < float(found.rank) < 8.001


def test_tokens_are_thinned_without_bias(key):
    signal, noise = jax.random.normal(key, (2, 512, 64, 4))
    target = Target(tokens=signal + 0.5 * noise)
    found = information.of_tokens(signal, target, jnp.ones(512))
    np.testing.assert_allclose(found.information, 0.5 * np.log(5.0), atol=0.03)


def test_collapse_shows(key):
    same = jnp.ones((64, 8)) + 1e-5 * jax.random.normal(key, (64, 8))
    found = information.of_pooled(same, Target(pooled=same), jnp.ones(64))
    assert float(found.spread) < 1e-3
    shares = jnp.tile(jnp.array([[0.97, 0.01, 0.01, 0.01]]), (64, 1))
    score = fw.cross_entropy().score
    found = information.of_shares(score)(jnp.log(shares), Target(pooled=shares), jnp.ones(64))
    assert float(found.used) < 1.3


def test_words_count_by_their_use():
    choice = jnp.array([[0, 1], [0, 1]])
    logits = 50.0 * jax.nn.one_hot(choice, 5)
    found = information.of_vocabulary(logits, Target(target_index=choice), jnp.ones(2))
    np.testing.assert_allclose(found.information, np.log(2), rtol=1e-5)
    np.testing.assert_allclose(found.used, 2.0, rtol=1e-5)


def test_a_queue_adds_its_keys_to_the_candidates(key):
    one = jax.random.normal(key, (4, 8))
    far = jnp.zeros((15, 8)).at[:, 0].set(-1.0)
    found = fw.contrast(temperature=0.01).evidence(
        one, Target(pooled=one, candidates=far), jnp.ones(4)
    )
    np.testing.assert_allclose(found.entropy, np.log(16), rtol=1e-6)
    assert 0 < float(found.information) <= np.log(16) + 1e-5
