"""Attention: its softmax, and the dropping of weights."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax.nn import attention


def test_attention_dropout_drops_single_weights_and_keeps_their_mean(key):
    """With W_v = W_proj = 1 and unit vectors for tokens, the result is the weights in use."""
    x, eye, zeros = jnp.tile(jnp.eye(6)[None], (700, 1, 1)), jnp.eye(6), jnp.zeros((6, 6))
    scores = 0.7 * jax.random.normal(key, (6, 6))
    params = {"qkv": {"kernel": jnp.concatenate([scores, eye, eye], 1), "bias": jnp.zeros(18)},
              "proj": {"kernel": eye, "bias": zeros[0]}}  # fmt: skip
    module = attention.Attention(1, dropout=0.4, report=True)
    y, weights = module.apply({"params": params}, x, attention.Shared(), rngs={"droppath": key})
    y, weights = np.asarray(y), np.asarray(weights)[:, 0]
    s = np.float64(scores) / np.sqrt(6)
    want = np.exp(s) / np.exp(s).sum(-1, keepdims=True)
    # What is reported is not dropped; what is used is 0 or the weight over 1 - 0.4.
    np.testing.assert_allclose(weights, np.broadcast_to(want, weights.shape), rtol=1e-5)
    kept = y != 0
    np.testing.assert_allclose(y, kept * want / 0.6, rtol=1e-5)
    # 25 200 draws: deviation sqrt(.4 * .6 / 25200) = 0.003; each weight by itself, 0.019.
    assert abs(kept.mean() - 0.6) < 4 * 0.003
    assert np.abs(kept.mean(0) - 0.6).max() < 4 * 0.019


def test_softmax_gradient_and_dtype(key):
    s, g = jax.random.normal(key, (2, 4, 6))
    want, pull = jax.vjp(jax.nn.softmax, s)
    got, mine = jax.vjp(lambda s: attention.softmax(s, jnp.float32), s)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(mine(g)[0], pull(g)[0], rtol=1e-5, atol=1e-7)
    assert attention.softmax(s, jnp.bfloat16).dtype == jnp.bfloat16
