"""MILAN's decoder in float64, and that kept tokens are asked but never changed."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, geometry, trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Features

GRID = (2, 3)
INDEX = np.array([[0, 2, 5], [1, 2, 3], [4, 0, 3]])
REMOVED = np.array([[1, 3, 4], [0, 4, 5], [1, 2, 5]])


def norm_(p, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def linear_(p, x):
    return x @ p["kernel"] + p["bias"]


def blocks_(params, x, context, heads=2):
    b, n, d = x.shape
    for i in range(len(params["norm1"]["scale"])):
        p = jax.tree.map(lambda leaf, i=i: leaf[i], params)
        given = np.concatenate([context, norm_(p["norm1"], x)], axis=1)
        qkv = linear_(p["attn"]["qkv"], given).reshape(b, -1, 3, heads, d // heads)
        s = np.einsum("bqhd,bkhd->bhqk", qkv[:, -n:, 0], qkv[:, :, 1]) / np.sqrt(d // heads)
        w = np.exp(s) / np.exp(s).sum(-1, keepdims=True)
        y = np.einsum("bhqk,bkhd->bqhd", w, qkv[:, :, 2]).reshape(b, n, d)
        x = x + linear_(p["attn"]["proj"], y)
        h = linear_(p["mlp"]["fc1"], norm_(p["norm2"], x))
        h = h * (1 + np.vectorize(math.erf)(h / np.sqrt(2))) / 2
        x = x + linear_(p["mlp"]["fc2"], h)
    return x


def ready(key, x, **options):
    sizes = dict(width=16, depth=2, heads=2)
    module = decoders.create({"name": "prompt", **sizes, **options}, out=10)
    shapes = jax.eval_shape(lambda k: module.init(k, x, grid=GRID), key)["params"]
    draw = np.random.default_rng(0).normal
    params = jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)
    return jax.jit(lambda x: module.apply({"params": params}, x, grid=GRID)), params


def features(key, class_token=True):
    a, b = jax.random.split(key)
    pooled = jax.random.normal(b, (3, 12)) if class_token else None
    return Features(jax.random.normal(a, (3, 3, 12)), pooled, jnp.int32(INDEX))


@pytest.mark.parametrize("class_token", [True, False])
def test_prompt_in_float64(key, class_token):
    x = features(key, class_token)
    decode, params = ready(key, x)
    p = jax.tree.map(np.float64, params)
    table = np.float64(geometry.sincos(GRID, 16))
    kept = linear_(p["embed"], np.float64(x.tokens)) + table[INDEX]
    context = kept
    if class_token:
        context = np.concatenate([linear_(p["embed"], np.float64(x.pooled))[:, None], kept], 1)
    y = np.zeros((3, 6, 16))
    rows = np.arange(3)[:, None]
    y[rows, INDEX] = kept
    y[rows, REMOVED] = blocks_(p["blocks"], p["mask_token"] + table[REMOVED], context)
    want = linear_(p["head"], norm_(p["norm"], y))
    np.testing.assert_allclose(decode(x), want, rtol=1e-5, atol=2e-5)


def test_the_class_token_is_read_off_like_a_kept_cell(key):
    x = features(key)
    (decode, params), (cells, _) = ready(key, x, class_token=True), ready(key, x)
    y = decode(x)
    np.testing.assert_allclose(y[:, 1:], cells(x), rtol=1e-6, atol=1e-6)
    p = jax.tree.map(np.float64, params)
    first = linear_(p["head"], norm_(p["norm"], linear_(p["embed"], np.float64(x.pooled))))
    np.testing.assert_allclose(y[:, 0], first, rtol=1e-5, atol=2e-5)
    with pytest.raises(ConfigError, match="has class_token, but its input has none"):
        decode(x._replace(pooled=None))


def test_a_kept_cell_depends_on_its_own_token_alone(key):
    x = features(key)
    decode, _ = ready(key, x)
    grad = jax.jit(jax.jacobian(lambda t: decode(x._replace(tokens=t))[0, 2].sum()))(x.tokens)
    # Cell 2 of the first image is its second token.
    np.testing.assert_array_equal(grad.any(-1), np.eye(9, dtype=bool)[1].reshape(3, 3))
    grad = jax.jit(jax.jacobian(lambda t: decode(x._replace(tokens=t))[0, 3].sum()))(x.tokens)
    np.testing.assert_array_equal(grad.any(-1), [[True] * 3, [False] * 3, [False] * 3])


def test_nothing_removed_asks_nothing(key):
    x = features(key)
    decode, params = ready(key, x)
    whole = Features(jax.random.normal(key, (3, 6, 12)), x.pooled)
    y = decode(whole)
    p = jax.tree.map(np.float64, params)
    kept = linear_(p["embed"], np.float64(whole.tokens)) + np.float64(geometry.sincos(GRID, 16))
    np.testing.assert_allclose(y, linear_(p["head"], norm_(p["norm"], kept)), rtol=1e-4, atol=1e-4)
    order = jnp.tile(jnp.arange(6, dtype=jnp.int32), (3, 1))
    np.testing.assert_allclose(decode(whole._replace(index=order)), y, rtol=1e-5, atol=1e-5)


def test_parameters_are_those_of_the_infill_decoder(key):
    # The same parts, asked otherwise; also when it is first shown a whole grid.
    whole = Features(jnp.zeros((1, 6, 12)), jnp.zeros((1, 12)))
    sizes = dict(width=16, depth=2, heads=2)

    def shapes(name):
        module = decoders.create({"name": name, **sizes}, out=10)
        return jax.eval_shape(lambda k: module.init(k, whole, grid=GRID), key)

    assert trees.count(shapes("prompt")) == trees.count(shapes("infill"))
    assert jax.tree.structure(shapes("prompt")) == jax.tree.structure(shapes("infill"))
