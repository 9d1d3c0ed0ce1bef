"""Plain pooling, and attention pooling: counts, equations in float64, what it must not see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, encoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Features


@pytest.mark.parametrize("width, count", [(768, 2_366_976), (1024, 3_942_144)])
def test_parameter_counts(key, width, count):
    # Parameters by formula, without and with the layer norm behind the projection.
    for norm_out, extra in ((False, 0), (True, 2 * 768)):
        module = decoders.create({"name": "attention_pool", "norm_out": norm_out}, out=768)
        params = jax.eval_shape(module.init, key, Features(jnp.zeros((1, 2, width))))
        assert trees.count(params) == count + extra


def norm_(p, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def test_forward_in_float64(key):
    x = jax.random.normal(key, (3, 5, 16))
    module = decoders.create({"name": "attention_pool", "heads": 4, "logit_scale": True}, out=8)
    params = module.init(key, Features(x))["params"]
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(key, p.shape), params)
    p, t = jax.tree.map(np.float64, params), np.float64(x)

    def role(name, x):
        y = norm_(p[f"norm_{name}"], x) @ p[name]["kernel"] + p[name]["bias"]
        return y.reshape(*y.shape[:-1], 4, 4)

    s = np.einsum("bhd,bkhd->bhk", role("q", t.mean(1)), role("k", t)) / 2
    w = np.exp(s) / np.exp(s).sum(-1, keepdims=True)
    o = np.einsum("bhk,bkhd->bhd", w, role("v", t)).reshape(3, 16)
    o = norm_(p["norm"], o @ p["proj"]["kernel"] + p["proj"]["bias"])
    want = o / np.linalg.norm(o, axis=-1, keepdims=True) * np.exp(p["unit"]["logit_scale"])
    got = module.apply({"params": params}, Features(x))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


def test_order_and_class_token_do_not_matter(key):
    x = jax.random.normal(key, (3, 5, 16))
    module = decoders.create({"name": "attention_pool", "heads": 4}, out=8)
    params = module.init(key, Features(x))
    want = module.apply(params, Features(x))
    got = module.apply(params, Features(x[:, ::-1], pooled=x[:, 0]))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_heads_that_do_not_divide(key):
    module = decoders.create({"name": "attention_pool", "heads": 5}, out=8)
    with pytest.raises(ConfigError, match="width 16, not divisible by its 5 heads"):
        module.init(key, Features(jnp.ones((1, 2, 16))))


@pytest.mark.parametrize("pool", ["mean", "class"])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_a_pooled_vector_and_a_table_with_a_bias_are_one_linear_layer(key, pool, norm):
    """logits = W n(pool(x)) + b, in float64; the pooled decoder itself has no other weights."""
    x = Features(*jax.random.normal(key, (2, 6, 5, 8)))
    x = x._replace(pooled=x.pooled[:, 0])
    table = encoders.create("table", size=7, width=8, bias=True, deviation=0.5)
    rows = table.init(key, table.example())["params"]
    rows |= {"bias": jax.random.normal(key, (7,))}
    module = decoders.create({"name": "pooled", "pool": pool, "norm": norm}, out=table.features)
    params = module.init(key, x)
    assert trees.count(params) == (16 if norm == "layer" else 0)
    y = np.float64(x.tokens).mean(1) if pool == "mean" else np.float64(x.pooled)
    if norm == "layer":
        y = norm_({"scale": 1, "bias": 0}, y)
    if norm == "batch":
        y = (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-6)
    wanted = y @ np.float64(rows["kernel"]).T + np.float64(rows["bias"])
    candidates = table.apply({"params": rows}, jnp.array([0])).candidates
    got = module.apply(params, x) @ candidates.T
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_pooled_norm_that_keeps_statistics_is_that_of_pytorch(key):
    """MAE's BatchNorm1d(affine=False, eps=1e-6), trained on three batches and then asked."""
    torch = pytest.importorskip("torch")
    theirs = torch.nn.BatchNorm1d(8, affine=False, eps=1e-6).double()
    ours = decoders.create({"name": "pooled", "norm": "running"}, out=8)
    draw = lambda i: 2 * jax.random.normal(jax.random.fold_in(key, i), (6, 5, 8)) + i  # noqa: E731
    params = ours.init(key, Features(draw(0)))["params"]
    apply = lambda p, x: ours.apply({"params": p}, Features(x), train=True)  # noqa: E731
    for i in range(3):
        want = theirs(torch.tensor(np.float64(draw(i)).mean(1)))
        np.testing.assert_allclose(apply(params, draw(i)), want, rtol=1e-5, atol=1e-5)
        moved = jax.grad(lambda p, x: apply(p, x).sum())(params, draw(i))
        params = jax.tree.map(jnp.subtract, params, moved)
    np.testing.assert_allclose(params["norm"]["mean"], theirs.running_mean, rtol=1e-5)
    np.testing.assert_allclose(params["norm"]["var"], theirs.running_var, rtol=1e-5)
    theirs.eval()
    want = theirs(torch.tensor(np.float64(draw(9)).mean(1)))
    got = ours.apply({"params": params}, Features(draw(9)))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_pooled_vector_without_a_bias_is_as_wide_as_the_tokens(key):
    x = Features(jax.random.normal(key, (2, 3, 8)))
    got = decoders.create({"name": "pooled"}, out=8).apply({}, x)
    np.testing.assert_allclose(got, x.tokens.mean(1), rtol=1e-6)
    with pytest.raises(ConfigError, match="vectors of width 8, but is to predict 5 numbers"):
        decoders.create({"name": "pooled"}, out=5).apply({}, x)
    with pytest.raises(ConfigError, match="pool is 'max'"):
        decoders.create({"name": "pooled", "pool": "max"}, out=8)
