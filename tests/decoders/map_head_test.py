"""SigLIP's pooling head: counts, its equation in float64, what it must not see, refusals."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Features

HEAD = dict(name="map_head", heads=4, mlp_ratio=1.5, activation="gelu_tanh", eps=1e-5)


def test_parameter_count(key):
    module = decoders.create({"name": "map_head"}, out=768)
    params = jax.eval_shape(module.init, key, Features(jnp.zeros((1, 2, 768))))
    # The probe, four projections, a norm, an MLP of 3072.
    assert trees.count(params) == 768 + 12 * 768**2 + 13 * 768 - 2 * 768


def ready(key, **fields):
    x = jax.random.normal(key, (3, 5, 16))
    module = decoders.create(HEAD | fields, out=16)
    params = module.init(key, Features(x))["params"]
    return x, module, jax.tree.map(lambda p: p + 0.1 * jax.random.normal(key, p.shape), params)


def float64(p, x):
    """a = MHA(probe, x, x),  y = a + MLP(LN(a)), of (B, n, 16)."""
    w, b = p["attn"]["qkv"]["kernel"], p["attn"]["qkv"]["bias"]
    split = lambda y: y.reshape(*y.shape[:-1], 4, 4)  # noqa: E731
    q, k, v = (split(s @ w[:, i : i + 16] + b[i : i + 16])
               for s, i in ((p["probe"][0, 0], 0), (x, 16), (x, 32)))  # fmt: skip
    weights = np.exp(np.einsum("hd,bkhd->bhk", q, k) / 2)
    weights /= weights.sum(-1, keepdims=True)
    a = np.einsum("bhk,bkhd->bhd", weights, v).reshape(len(x), 16)
    a = a @ p["attn"]["proj"]["kernel"] + p["attn"]["proj"]["bias"]
    c = a - a.mean(-1, keepdims=True)
    h = c / np.sqrt((c**2).mean(-1, keepdims=True) + 1e-5) * p["norm"]["scale"] + p["norm"]["bias"]
    h = h @ p["mlp"]["fc1"]["kernel"] + p["mlp"]["fc1"]["bias"]
    h = h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3))) / 2
    return a + h @ p["mlp"]["fc2"]["kernel"] + p["mlp"]["fc2"]["bias"]


def test_forward_in_float64_and_siglips_logit(key):
    x, module, params = ready(key, logit_scale=True, logit_bias=-10.0)
    p = jax.tree.map(np.float64, params)
    y = float64(p, np.float64(x))
    unit = y / np.linalg.norm(y, axis=-1, keepdims=True)
    got = module.apply({"params": params}, Features(x))
    want = unit * np.exp(p["unit"]["logit_scale"])
    np.testing.assert_allclose(got[:, :-1], want, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(got[:, -1], np.repeat(params["logit_bias"], 3))
    # A set of tokens: neither their order nor the class token counts.
    other = module.apply({"params": params}, Features(x[:, ::-1], pooled=x[:, 0]))
    np.testing.assert_allclose(got, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "fields, out, sentence",
    [
        (dict(heads=5), 16, "width 16, not divisible by its 5 heads"),
        ({}, 8, "vectors of width 16, but is to predict 8 numbers"),
        (dict(logit_bias=-10.0), 16, "logit_bias but no logit_scale"),
        (dict(activation="gelu_tan"), 16, "did you mean 'gelu_tanh'"),
    ],
)
def test_what_does_not_fit_is_refused(key, fields, out, sentence):
    with pytest.raises(ConfigError, match=sentence):
        module = decoders.create(HEAD | fields, out=out)
        module.init(key, Features(jnp.ones((1, 2, 16))))
