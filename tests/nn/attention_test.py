"""Attention: its softmax, and the dropping of weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax.nn import attention
from m3i_jax.nn.norms import RMSNorm


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


def test_norms_of_queries_and_keys_of_each_head_and_of_what_is_projected(key):
    """In float64 by the formula; the scores do not change with the length of a query."""
    x, norm = jax.random.normal(key, (2, 5, 8)), functools.partial(RMSNorm, eps=1e-5)
    module = attention.Attention(2, qk_norm=norm, norm=norm, proj_bias=False, report=True)
    shapes = jax.eval_shape(module.init, key, x, attention.Shared())["params"]
    draw = np.random.default_rng(0).normal
    params = jax.tree.map(lambda s: np.float32(draw(0.1, 0.5, s.shape)), shapes)
    assert params["q_norm"]["scale"].shape == (4,) and params["norm"]["scale"].shape == (8,)
    assert "bias" not in params["proj"]
    p, wide = jax.tree.map(np.float64, params), np.float64(x)

    def rms(y, name):
        return p[name]["scale"] * y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5)

    q, k, v = np.split(wide @ p["qkv"]["kernel"] + p["qkv"]["bias"], 3, axis=-1)
    q, k, v = (y.reshape(2, 5, 2, 4) for y in (q, k, v))
    s = np.einsum("bqhd,bkhd->bhqk", rms(q, "q_norm"), rms(k, "k_norm")) / 2
    w = np.exp(s - s.max(-1, keepdims=True))
    w /= w.sum(-1, keepdims=True)
    y = np.einsum("bhqk,bkhd->bqhd", w, v).reshape(2, 5, 8)
    want = rms(y, "norm") @ p["proj"]["kernel"]
    got, weights = jax.jit(lambda p: module.apply({"params": p}, x, attention.Shared()))(params)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(weights, w, rtol=1e-5, atol=1e-6)
