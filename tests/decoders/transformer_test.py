"""Dense decoders: exact counts, their equations in float64, and the geometry of the queries."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, geometry, trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Box, Features

GRID = (2, 3)


def norm_(p, x, axes=(-1,), eps=1e-6):
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps) * p["scale"] + p["bias"]


def linear_(p, x):
    return x @ p["kernel"] + p["bias"]


def blocks_(params, x, heads=2, **norm):
    b, n, d = x.shape
    for i in range(len(params["norm1"]["scale"])):
        p = jax.tree.map(lambda leaf, i=i: leaf[i], params)
        qkv = linear_(p["attn"]["qkv"], norm_(p["norm1"], x, **norm))
        qkv = qkv.reshape(b, n, 3, heads, d // heads)
        s = np.einsum("bqhd,bkhd->bhqk", qkv[:, :, 0], qkv[:, :, 1]) / np.sqrt(d // heads)
        w = np.exp(s) / np.exp(s).sum(-1, keepdims=True)
        y = np.einsum("bhqk,bkhd->bqhd", w, qkv[:, :, 2]).reshape(b, n, d)
        x = x + linear_(p["attn"]["proj"], y)
        h = linear_(p["mlp"]["fc1"], norm_(p["norm2"], x, **norm))
        h = h * (1 + np.vectorize(math.erf)(h / np.sqrt(2))) / 2
        x = x + linear_(p["mlp"]["fc2"], h)
    return x


BATCH = dict(axes=(0, 1), eps=1e-5)


def features(key, batch=3, width=12):
    """Tokens of three of the six cells, in another order than row-major for one image."""
    a, b = jax.random.split(key)
    index = jnp.array([[0, 2, 5], [1, 2, 3], [4, 0, 3]], jnp.int32)[:batch]
    tokens = jax.random.normal(a, (batch, 3, width))
    return Features(tokens, jax.random.normal(b, (batch, width)), index)


def ready(key, name, x, how, out=True, **fields):
    sizes = dict(width=16, depth=2, heads=2)
    block = {"name": name, **(sizes | fields)}
    module = decoders.create(block, **({"out": 10} if out else {}))

    shapes = jax.eval_shape(lambda k: module.init(k, x, **how), key)["params"]
    draw = np.random.default_rng(0).normal
    params = jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)
    y = jax.jit(lambda p, x, boxes: module.apply({"params": p}, x, **how, **boxes))
    return lambda x=x, **boxes: y(params, x, boxes), jax.tree.map(np.float64, params)


def boxes(seed, batch=3):
    r = np.random.default_rng(seed)
    top, left, height, width = r.uniform(20, 60, (4, batch))
    flip = (np.arange(batch) + seed) % 2
    return Box(*(jnp.float32(v) for v in (top, left, height, width, flip, np.full(batch, 200.0))))


def count(key, block, out, width, **how):
    module = decoders.create(block, out=out)
    return jax.eval_shape(lambda k: module.init(k, Features(jnp.zeros((1, 4, width))), **how), key)


@pytest.mark.parametrize("width, blocks", [(768, 28_351_488), (1024, 50_384_896)])
def test_query_parameter_counts(key, width, blocks):
    # M3I's: four blocks, a mask token, the relative Linear; here also W_in and W_out.
    params = count(key, {"name": "query", "width": width}, width, width, grid=(2, 2))["params"]
    assert trees.count(params["blocks"]) == blocks
    assert trees.count(params["mask_token"]) == width
    assert trees.count(params["relative"]) == 2 * width**2 + width
    assert trees.count(params) == blocks + width + 2 * width**2 + width + 2 * (width**2 + width)


def test_infill_parameter_count(key):
    # MAE ViT-B's decoder: 111 655 680 less the encoder's 85 647 360.
    params = count(key, {"name": "infill"}, 16 * 16 * 3, 768, grid=(2, 2))
    assert trees.count(params) == 111_655_680 - 85_647_360


@pytest.mark.parametrize("class_token", [True, False])
def test_infill_in_float64(key, class_token):
    x = features(key)
    x = x if class_token else x._replace(pooled=None)
    decode, p = ready(key, "infill", x, {"grid": GRID})
    full = np.broadcast_to(p["mask_token"], (3, 6, 16)).copy()
    full[np.arange(3)[:, None], x.index] = linear_(p["embed"], np.float64(x.tokens))
    full = full + np.asarray(geometry.sincos(GRID, 16))
    if class_token:
        full = np.concatenate([linear_(p["embed"], np.float64(x.pooled))[:, None], full], axis=1)
    y = blocks_(p["blocks"], full)[:, int(class_token) :]
    want = linear_(p["head"], norm_(p["norm"], y))
    np.testing.assert_allclose(decode(), want, rtol=1e-5, atol=2e-5)


def test_infill_of_a_full_grid(key):
    x = Features(jax.random.normal(key, (3, 6, 12)))
    decode, _ = ready(key, "infill", x, {"grid": GRID})
    index = jnp.tile(jnp.arange(6), (3, 1))
    np.testing.assert_allclose(decode(), decode(x._replace(index=index)), rtol=1e-5, atol=1e-5)


def test_infill_with_vq_kds_head(key):
    x = Features(jax.random.normal(key, (3, 6, 12)))
    decode, p = ready(key, "infill", x, {"grid": GRID}, head="tanh")
    y = linear_(p["embed"], np.float64(x.tokens)) + np.asarray(geometry.sincos(GRID, 16))
    y = linear_(p["fc"], norm_(p["norm"], blocks_(p["blocks"], y)))
    np.testing.assert_allclose(decode(), linear_(p["head"], np.tanh(y)), rtol=1e-5, atol=2e-5)
    # VQ-KD's: three blocks of width 768 from 32 dimensions, Linear-tanh-Linear to 512.
    block = {"name": "infill", "width": 768, "depth": 3, "heads": 12, "head": "tanh"}
    params = count(key, block, 512, 32, grid=(2, 2))["params"]
    d = 768
    blocks = 3 * (12 * d**2 + 13 * d)
    parts = (32 * d + d) + d + blocks + 2 * d + (d * d + d) + (d * 512 + 512)
    assert trees.count(params) == parts


def test_query_in_float64(key):
    x = features(key)
    how = {"grid": GRID, "target_grid": (2, 2)}
    fields = dict(class_token=True, norm="batch", norm_out=True)
    decode, p = ready(key, "query", x, how, **fields)
    source, target = boxes(0), boxes(1)
    given = np.concatenate([np.float64(x.pooled)[:, None], np.float64(x.tokens)], axis=1)
    context = linear_(p["embed"], given)
    context[:, 1:] += np.asarray(geometry.sincos(GRID, 16))[np.asarray(x.index)]
    table = geometry.relative_sincos(source, target, (2, 2), 16, source_grid=GRID)
    queries = p["mask_token"] + linear_(p["relative"], np.float64(table))
    y = blocks_(p["blocks"], np.concatenate([context, queries], axis=1), **BATCH)[:, 4:]
    want = linear_(p["head"], norm_(p["norm"], y, **BATCH))
    got = decode(source=source, target=target)
    assert got.shape == (3, 4, 10)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5)
    packed = decode(source=jnp.stack(source, -1), target=jnp.stack(target, -1))
    np.testing.assert_allclose(packed, got, rtol=1e-5, atol=1e-5)


def test_same_crop_is_the_default_and_an_identity(key):
    x = Features(jax.random.normal(key, (3, 6, 12)))
    decode, p = ready(key, "query", x, {"grid": GRID})
    same = boxes(0)
    np.testing.assert_allclose(decode(), decode(source=same, target=same), rtol=1e-4, atol=1e-4)
    moved = decode(source=same, target=boxes(1))
    assert np.abs(moved - decode()).max() > 1e-2
    # The first half of the relative code is then the absolute one, the second sin 0 and cos 0.
    table = np.asarray(geometry.relative_sincos(same, same, GRID, 16))
    absolute = np.broadcast_to(geometry.sincos(GRID, 16), (3, 6, 16))
    np.testing.assert_allclose(table[..., :16], absolute, atol=1e-5)
    np.testing.assert_allclose(table[..., 16:], np.tile(np.repeat([0, 1], 4), 2) + 0 * absolute)


def test_query_pays_no_attention_to_the_class_token_unless_told(key):
    x = features(key)
    decode, _ = ready(key, "query", x, {"grid": GRID})
    np.testing.assert_array_equal(decode(x), decode(x._replace(pooled=-x.pooled)))


def test_query_without_embedding_behind_a_projector(key):
    x = features(key, width=16)
    _, p = ready(key, "query", x, {"grid": GRID}, embed=False)
    assert "embed" not in p
    with pytest.raises(ConfigError, match="width 16, but its input has width 12"):
        ready(key, "query", features(key), {"grid": GRID}, embed=False)


def test_projector_in_float64(key):
    x = features(key)
    refine, p = ready(key, "projector", x, {}, out=False)
    given = np.concatenate([np.float64(x.pooled)[:, None], np.float64(x.tokens)], axis=1)
    y = blocks_(p["blocks"], linear_(p["embed"], given), **BATCH)
    got = refine()
    np.testing.assert_allclose(got.pooled, y[:, 0], rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(got.tokens, y[:, 1:], rtol=1e-5, atol=2e-5)
    np.testing.assert_array_equal(got.index, x.index)


def test_mistakes(key):
    for block, words in (
        ({"name": "query", "width": 770}, "width 770 is not divisible by 16 heads"),
        ({"name": "infill", "width": 6, "heads": 2}, "not divisible by 4"),
        ({"name": "query", "norm": "bach"}, "did you mean 'batch'"),
        ({"name": "query", "remat": "all"}, "remat is 'all'"),
        ({"name": "infill", "head": "tan"}, "did you mean 'tanh'"),
    ):
        with pytest.raises(ConfigError, match=words):
            decoders.create(block, out=4)
    alone = Features(jnp.zeros((1, 4, 16)))
    query = decoders.create({"name": "query", "class_token": True}, out=4)
    with pytest.raises(ConfigError, match="its input has none"):
        query.init(key, alone, grid=(2, 2))
    query = decoders.create({"name": "query"}, out=4)
    with pytest.raises(ValueError, match="the crops of both views"):
        query.init(key, alone, grid=(2, 2), source=boxes(0, 1))
