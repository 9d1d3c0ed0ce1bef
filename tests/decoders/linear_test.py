"""Linear and MLP heads against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, trees
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


def test_linear_over_all_tokens_has_the_class_token_in_front(key):
    x = features(key)
    y, p, params = ready(key, {"name": "linear", "pool": "all"}, x)
    data = np.concatenate([np.float64(x.pooled)[:, None], np.float64(x.tokens)], axis=1)
    want = data @ p["head"]["kernel"] + p["head"]["bias"]
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
    head = decoders.create({"name": "linear", "pool": "all"}, out=4)
    with pytest.raises(ConfigError, match="pool='all' needs an encoder with a class token"):
        head.apply({"params": params}, x._replace(pooled=None))


def test_linear_with_clips_temperature(key):
    x = features(key)
    block = {"name": "linear", "pool": "class", "bias": False, "logit_scale": True}
    y, p, params = ready(key, block, x)
    want = np.float64(x.pooled) @ p["head"]["kernel"]
    want = np.exp(p["unit"]["logit_scale"]) * want / np.linalg.norm(want, axis=-1, keepdims=True)
    np.testing.assert_allclose(y, want, rtol=1e-5)
    assert set(params["head"]) == {"kernel"}


def test_linear_behind_a_norm(key):
    x = features(key)
    y, p, _ = ready(key, {"name": "linear", "norm_in": True}, x)
    h = np.float64(x.tokens)
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)
    h = h * p["norm"]["scale"] + p["norm"]["bias"]
    np.testing.assert_allclose(y, h @ p["head"]["kernel"] + p["head"]["bias"], rtol=1e-4, atol=1e-5)


def test_linear_with_siglips_logit(key):
    x = features(key)
    block = {"name": "linear", "pool": "class", "logit_scale": True}
    block |= {"logit_start": 10, "logit_bias": -10}
    start = decoders.create(block, out=4).init(key, x)["params"]
    np.testing.assert_allclose(start["unit"]["logit_scale"], np.log(10), rtol=1e-6)
    assert start["logit_bias"] == -10
    y, p, _ = ready(key, block, x)
    assert y.shape == (6, 5)
    # With a unit vector in front of a 1, the product is e^s cos + b.
    target = np.float64([0.6, 0, 0.8, 0])
    want = np.float64(x.pooled) @ p["head"]["kernel"] + p["head"]["bias"]
    cosine = want @ target / np.linalg.norm(want, axis=-1)
    logit = np.exp(p["unit"]["logit_scale"]) * cosine + p["logit_bias"]
    np.testing.assert_allclose(np.float64(y) @ [*target, 1], logit, rtol=1e-4, atol=1e-4)
    # SigLIP's scale grows as it will (its ViT-B/16 ended at 117); CLIP's is at most 100.
    far = jax.tree.map(jnp.asarray, start)
    far["unit"]["logit_scale"] = jnp.float32(9.0)
    for head, scale in ((block, np.exp(9.0)), (block | {"logit_bias": None}, 100)):
        y = decoders.create(head, out=4).apply({"params": far}, x)
        np.testing.assert_allclose(np.linalg.norm(y[:, :4], axis=-1), scale, rtol=1e-5)


def shape_of(block, width, **fields):
    """Parameters and result of a head on features of a width, without computing them."""
    module = decoders.create(block, **fields)
    x = Features(jnp.zeros((4, 2, width)), jnp.zeros((4, width)))
    params = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    return trees.count(params), jax.eval_shape(lambda p: module.apply({"params": p}, x), params)


def linears(*widths, bias=True):
    return sum(a * b + bias * b for a, b in zip(widths, widths[1:], strict=False))


# Heads as published (docs/methods.md), their parameters by formula, and their input.
RECIPES = {
    "moco_v3_projector": (
        dict(layers=3, hidden=4096, out=256, bias=False, norm_out=True),
        768,
        linears(768, 4096, 4096, 256, bias=False) + 2 * (2 * 4096),
    ),
    "moco_v3_predictor": (
        dict(layers=2, hidden=4096, out=256, bias=False, norm_out=True),
        256,
        linears(256, 4096, 256, bias=False) + 2 * 4096,
    ),
    "simclr": (
        dict(hidden=2048, out=128, bias=False, norm_out="scale"),
        2048,
        linears(2048, 2048, 128, bias=False) + 2 * 2048 + 128,
    ),
    "byol": (dict(hidden=4096, out=256), 2048, linears(2048, 4096, 256) + 2 * 4096),
    "simsiam_predictor": (
        dict(hidden=512, out=2048, bias=False, last_bias=True),
        2048,
        linears(2048, 512, 2048, bias=False) + 2048 + 2 * 512,
    ),
    "barlow_twins": (
        dict(layers=3, hidden=8192, out=8192, bias=False),
        2048,
        linears(2048, 8192, 8192, 8192, bias=False) + 2 * (2 * 8192),
    ),
    "msn": (
        dict(layers=3, hidden=2048, out=256, activation="gelu"),
        384,
        linears(384, 2048, 2048, 256) + 2 * (2 * 2048),
    ),
    "dino": (
        dict(layers=3, hidden=2048, out=256, norm="none", activation="gelu", unit_norm=True),
        768,
        linears(768, 2048, 2048, 256),
    ),
    "vq_kd": (
        dict(hidden=768, out=32, norm="none", activation="tanh", pool="none", unit_norm=True),
        768,
        linears(768, 768, 32),
    ),
    "moco_v2": (
        dict(hidden=2048, out=128, norm="none", unit_norm=True),
        2048,
        linears(2048, 2048, 128),
    ),
    "masked_global": (
        dict(layers=3, hidden=4096, out=256, pool="mean"),
        768,
        linears(768, 4096, 4096, 256) + 2 * (2 * 4096),
    ),
}


MLP_OF_BOTH = {"name": "mlp", "hidden": 5, "norm": "none", "activation": "gelu"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_published_heads(recipe):
    fields, width, count = RECIPES[recipe]
    got, result = shape_of({"name": "mlp", **fields}, width)
    assert got == count
    dense = fields.get("pool") == "none"
    assert result.shape == ((4, 2, fields["out"]) if dense else (4, fields["out"]))


def test_vq_kds_bottleneck(key):
    x = features(key)
    block = {"name": "mlp", **RECIPES["vq_kd"][0], "hidden": 16, "out": 3}
    module = decoders.create(block)
    params = module.init(key, x)["params"]
    p = jax.tree.map(np.float64, params)
    h = np.tanh(np.float64(x.tokens) @ p["fc1"]["kernel"]) @ p["fc2"]["kernel"]
    want = h / np.linalg.norm(h, axis=-1, keepdims=True)
    np.testing.assert_allclose(module.apply({"params": params}, x), want, rtol=1e-4, atol=1e-5)


def test_one_vector_from_tokens_alone(key):
    # The global target of a masked input, for an encoder without a class token.
    x = features(key)._replace(pooled=None)
    y, p, _ = ready(key, {"name": "mlp", "hidden": 16, "norm": "none", "pool": "mean"}, x)
    h = np.maximum(np.float64(x.tokens).mean(1) @ p["fc1"]["kernel"] + p["fc1"]["bias"], 0)
    np.testing.assert_allclose(y, h @ p["fc2"]["kernel"] + p["fc2"]["bias"], rtol=1e-4, atol=1e-5)


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
        ({"name": "mlp", "norm_out": "scal"}, "norm_out is 'scal', .*did you mean 'scale'"),
        ({"name": "mlp", "layers": 0}, "layers is 0"),
        ({"name": "linear", "logit_bias": -10.0}, "logit_bias but no logit_scale"),
        ({"name": "linear", "logit_scale": True, "logit_start": 200.0}, "logit_start is 200.0"),
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


def test_a_token_answers_for_the_cells_it_is_split_into(key):
    x = Features(tokens=jax.random.normal(key, (2, 2 * 3, 8)))
    head = decoders.create({"name": "linear", "split": 2}, out=5)
    params = head.init(key, x, grid=(2, 3))["params"]
    y = head.apply({"params": params}, x, grid=(2, 3))
    assert y.shape == (2, 4 * 6, 5)
    kernel = np.asarray(params["head"]["kernel"], np.float64).reshape(8, 2, 2, 5)
    for row, column in ((0, 0), (1, 3), (3, 4)):
        token = np.asarray(x.tokens[:, row // 2 * 3 + column // 2], np.float64)
        want = token @ kernel[:, row % 2, column % 2]
        np.testing.assert_allclose(y[:, row * 6 + column], want, rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match="the encoder dropped some: it got 6"):
        head.apply({"params": params}, x, grid=(4, 3))
    with pytest.raises(ConfigError, match="splits by 2 with pool='mean'"):
        decoders.create({"name": "linear", "split": 2, "pool": "mean"}, out=5)


@pytest.mark.parametrize("block", [MLP_OF_BOTH, {"name": "prototypes", "lengths": True}])
def test_of_both_class_token_and_tokens_are_what_each_is_by_itself(block, key):
    x = Features(jax.random.normal(key, (3, 4, 8)), jax.random.normal(key, (3, 8)))
    both, one, dense = (
        decoders.create({**block, "pool": pool}, out=6) for pool in ("both", "class", "none")
    )
    params = both.init(key, x)["params"]
    found = both.apply({"params": params}, x)
    for got, module in ((found.pooled, one), (found.tokens, dense)):
        assert jax.tree.structure(module.init(key, x)["params"]) == jax.tree.structure(params)
        np.testing.assert_array_equal(got, module.apply({"params": params}, x))
