"""DenseCL's neck against NumPy, and its size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Features


def mlp_(p, name, x):
    first, second = p[f"{name}_fc1"], p[f"{name}_fc2"]
    h = np.maximum(x @ first["kernel"] + first["bias"], 0)
    return h @ second["kernel"] + second["bias"]


@pytest.mark.parametrize("unit_norm", [True, False])
def test_global_and_dense_heads(key, unit_norm):
    index = jnp.array([[0, 3, 1], [5, 2, 4]], jnp.int32)
    x = Features(jax.random.normal(key, (2, 3, 8)), index=index)
    module = decoders.create(
        {"name": "dense_heads", "out": 4, "hidden": 16, "unit_norm": unit_norm}
    )
    params = module.init(key, x)["params"]
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(key, p.shape), params)
    got, p = module.apply({"params": params}, x), jax.tree.map(np.float64, params)
    pooled = mlp_(p, "global", np.float64(x.tokens).mean(1))
    tokens = mlp_(p, "dense", np.float64(x.tokens))
    if unit_norm:
        pooled, tokens = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (pooled, tokens))
    np.testing.assert_allclose(got.pooled, pooled, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got.tokens, tokens, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got.index, index)
    np.testing.assert_array_equal(got.pre_head_tokens, x.tokens)


def test_published_size(key):
    # As published: two heads 2048 -> 2048 -> 128.
    module = decoders.create({"name": "dense_heads"})
    shapes = jax.eval_shape(module.init, key, Features(jnp.zeros((1, 49, 2048))))
    assert trees.count(shapes) == 2 * (2048**2 + 2048 + 2048 * 128 + 128)


def test_mistakes():
    with pytest.raises(ConfigError, match="hidden is 0"):
        decoders.create({"name": "dense_heads", "hidden": 0})
