"""Layers of detection transformers in float64; tests/parity has whole ones beside transformers'."""

import functools

import jax
import numpy as np
import pytest

from m3i_jax.nn.query_layers import CrossAttention, DeformableEncoder, DeformableLayer, centres
from tests.heads.transformer_layers import normal

WIDTH, GRIDS = 8, ((3, 2), (2, 1))
CELLS = sum(m * n for m, n in GRIDS)


def drawn(module, *inputs):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda leaf: np.float32(rng.normal(0, 0.4, leaf.shape)), shapes)


def linear_(p, x):
    return x @ np.float64(p["kernel"]) + p["bias"]


def cross_(p, queries, keys, values, mask, heads):
    parts = lambda x: x.reshape(*x.shape[:2], heads, -1)  # noqa: E731
    q, k, v = (parts(linear_(p[n], x)) for n, x in zip("qkv", (queries, keys, values), strict=True))
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1])
    weights = np.exp(np.where(mask, scores, -np.inf))
    weights = weights / weights.sum(-1, keepdims=True)
    y = np.einsum("bhqk,bkhd->bqhd", weights, v).reshape(queries.shape)
    return linear_(p["proj"], y)


@pytest.mark.parametrize("masked", [False, True])
def test_cross_attention_in_float64(masked):
    queries, keys, values = normal(2, 3, WIDTH), normal(2, 5, WIDTH, seed=1), normal(2, 5, WIDTH)
    mask = np.ones((2, 1, 3, 5), bool)
    if masked:
        mask[0, 0, 1, 2:], mask[1, 0, 0, :4] = False, False
    module = CrossAttention(2)
    params = drawn(module, queries, keys, values)
    got = module.apply({"params": params}, queries, keys, values, mask if masked else None)
    want = cross_(params, *map(np.float64, (queries, keys, values)), mask, 2)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_centres_of_cells_are_x_then_y():
    want = [[0.25, 1 / 6], [0.75, 1 / 6], [0.25, 0.5], [0.75, 0.5], [0.25, 5 / 6], [0.75, 5 / 6]]
    np.testing.assert_allclose(centres(GRIDS), [*want, [0.5, 0.25], [0.5, 0.75]], rtol=1e-6)


def test_layers_of_a_stack_are_layers_one_after_the_other():
    x, position = normal(2, CELLS, WIDTH), normal(1, CELLS, WIDTH, seed=1)
    module, layer = DeformableEncoder(2, 2, 6, GRIDS), DeformableLayer(2, 6, GRIDS)
    params = drawn(module, x, position)
    got = jax.jit(lambda p: module.apply({"params": p}, x, position))(params)
    want = x
    for number in range(2):
        own = jax.tree.map(lambda leaf, i=number: leaf[i], params["blocks"])
        want = layer.apply({"params": own}, want, position, centres(GRIDS))[0]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_it_is_the_norm_of_a_sum_of_the_mlp():
    """Where attention is nothing: LN(x + mlp(x)) of what has been normed."""
    x = normal(2, CELLS, WIDTH)
    layer = DeformableLayer(2, 6, GRIDS)
    params = drawn(layer, x, x[:1], centres(GRIDS))
    params["attn"]["output_proj"] = jax.tree.map(np.zeros_like, params["attn"]["output_proj"])
    got = layer.apply({"params": params}, x, x[:1], centres(GRIDS))[0]

    def norm_(p, y):
        y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
        return y * p["scale"] + p["bias"]

    y = norm_(params["norm1"], np.float64(x))
    first, second = (functools.partial(linear_, params["mlp"][name]) for name in ("fc1", "fc2"))
    want = norm_(params["norm2"], y + second(np.maximum(first(y), 0)))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
