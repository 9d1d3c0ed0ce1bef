"""Linear and MLP heads against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders
from m3i_jax.build import ConfigError
from m3i_jax.types import Features


def features(key, batch=6, count=5, width=8):
    a, b = jax.random.split(key)
    return Features(
        jax.random.normal(a, (batch, count, width)), jax.random.normal(b, (batch, width))
    )


def ready(key, block, x):
    module = decoders.create(block, out=4)
    params = module.init(key, x)["params"]
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(key, p.shape), params)
    return module.apply({"params": params}, x), jax.tree.map(np.float64, params), params


def test_linear_per_token_and_pooled(key):
    x = features(key)
    for pool, data in (("none", x.tokens), ("mean", x.tokens.mean(1)), ("class", x.pooled)):
        y, p, _ = ready(key, {"name": "linear", "pool": pool}, x)
        want = np.float64(data) @ p["head"]["kernel"] + p["head"]["bias"]
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)


def test_linear_with_clips_temperature(key):
    x = features(key)
    block = {"name": "linear", "pool": "class", "bias": False, "logit_scale": True}
    y, p, params = ready(key, block, x)
    want = np.float64(x.pooled) @ p["head"]["kernel"]
    want = np.exp(p["unit"]["logit_scale"]) * want / np.linalg.norm(want, axis=-1, keepdims=True)
    np.testing.assert_allclose(y, want, rtol=1e-5)
    assert set(params["head"]) == {"kernel"}


def test_mlp_with_batch_norm(key):
    x = features(key)
    block = {"name": "mlp", "layers": 3, "hidden": 16, "norm_out": True, "bias": False}
    y, p, _ = ready(key, block, x)

    def norm(v):
        return (v - v.mean(0)) / np.sqrt(v.var(0) + 1e-5)

    h = np.float64(x.pooled)
    for layer in (1, 2):
        h = norm(h @ p[f"fc{layer}"]["kernel"]) * p[f"norm{layer}"]["scale"]
        h = np.maximum(h + p[f"norm{layer}"]["bias"], 0)
    np.testing.assert_allclose(y, norm(h @ p["fc3"]["kernel"]), rtol=1e-4, atol=1e-4)


def test_mlp_per_token_without_norm(key):
    x = features(key)
    block = {"name": "mlp", "hidden": 16, "norm": "none", "activation": "gelu", "pool": "none"}
    y, _, params = ready(key, block, x)
    assert y.shape == (6, 5, 4) and set(params) == {"fc1", "fc2"}
    alone = decoders.create(block, out=4).apply({"params": params}, x._replace(tokens=x.tokens[:2]))
    np.testing.assert_allclose(y[:2], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "block, words",
    [
        ({"name": "linear", "pool": "means"}, "did you mean 'mean'"),
        ({"name": "mlp", "norm": "none", "norm_out": True}, "norm_out but norm is 'none'"),
        ({"name": "mlp", "layers": 0}, "0 layers"),
        ({"name": "mlp", "activation": "rely"}, "did you mean 'relu'"),
    ],
)
def test_mistakes(block, words):
    with pytest.raises(ConfigError, match=words):
        decoders.create(block, out=4)


def test_class_pooling_needs_a_class_token(key):
    module = decoders.create({"name": "linear", "pool": "class"}, out=4)
    with pytest.raises(ConfigError, match="use 'mean'"):
        module.init(key, Features(jnp.ones((1, 2, 8))))
