"""Deformable attention in loops of float64; tests/parity has it beside transformers'."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn.deformable_attention import DeformableAttention, Offsets, attended_places

GRIDS = ((4, 3), (2, 2))
HEADS, POINTS, WIDTH = 2, 3, 8


def read_(map_, x, y):
    """The value of a map (H, W, C) at [x, y] in cells, linear between four, zero outside."""
    total = np.zeros(map_.shape[-1])
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < map_.shape[0] and 0 <= column < map_.shape[1]:
                total += map_[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def attended_(values, places, weights):
    """For each query, head, level and point in turn."""
    out, part = np.zeros((*places.shape[:2], WIDTH)), WIDTH // HEADS
    for b, q, h, level, k in np.ndindex(weights.shape):
        rows, columns = GRIDS[level]
        start = sum(m * n for m, n in GRIDS[:level])
        own = slice(h * part, (h + 1) * part)
        map_ = values[b, start : start + rows * columns, own].reshape(rows, columns, part)
        x, y = places[b, q, h, level, k]
        out[b, q, own] += weights[b, q, h, level, k] * read_(
            map_, x * columns - 0.5, y * rows - 0.5
        )
    return out


def drawn():
    rng = np.random.default_rng(0)
    shape = 2, 5, HEADS, len(GRIDS), POINTS
    cells = rng.normal(size=(2, sum(m * n for m, n in GRIDS), WIDTH))
    places = rng.uniform(-0.3, 1.3, size=(*shape, 2))  # some beyond the map
    return np.float32(cells), np.float32(places), np.float32(rng.normal(size=shape))


def test_places_in_loops_of_float64():
    values, places, weights = drawn()
    want = attended_(*(np.float64(x) for x in (values, places, weights)))
    got = attended_places(values, places, weights, GRIDS)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)  # 24 products of order one
    low = attended_places(jnp.bfloat16(values), places, weights, GRIDS)
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(low), want, rtol=0.02, atol=0.05)


@pytest.mark.parametrize("sides", [2, 4])
def test_module_in_loops_of_float64(sides):
    rng = np.random.default_rng(1)
    cells, queries = drawn()[0], np.float32(rng.normal(size=(2, 5, WIDTH)))
    around = np.float32(rng.uniform(size=(2, 5, sides)))
    module = DeformableAttention(HEADS, len(GRIDS), POINTS)
    params = jax.eval_shape(
        lambda k: module.init(k, queries, around, cells, GRIDS), jax.random.key(0)
    )["params"]
    params = jax.tree.map(lambda p: np.float32(rng.normal(0, WIDTH**-0.5, p.shape)), params)
    got = jax.jit(lambda p: module.apply({"params": p}, queries, around, cells, GRIDS))(params)

    def linear(name, x):
        return x @ np.float64(params[name]["kernel"]) + params[name]["bias"]

    shape = 2, 5, HEADS, len(GRIDS), POINTS
    logits = np.exp(linear("attention_weights", queries).reshape(2, 5, HEADS, -1))
    weights = (logits / logits.sum(-1, keepdims=True)).reshape(shape)
    offsets = linear("sampling_offsets", queries).reshape(*shape, 2)
    around = np.float64(around)[:, :, None, None, None]
    if sides == 2:
        offsets = offsets / np.array([[3, 4], [2, 2]])[:, None]
    else:
        offsets = offsets / POINTS * around[..., 2:] / 2
    y = attended_(linear("value_proj", cells), around[..., :2] + offsets, weights)
    np.testing.assert_allclose(got, linear("output_proj", y), rtol=2e-5, atol=2e-5)


def test_it_starts_on_squares_around_the_query():
    """Of eight heads in the eight directions of a grid, point k is k cells away."""
    start = Offsets(8, 2, 3).start().reshape(8, 2, 3, 2)
    want = [[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]]
    for level in range(2):
        for k in range(3):
            np.testing.assert_allclose(start[:, level, k], (k + 1) * np.array(want), atol=1e-6)
    module = DeformableAttention(4, 2)
    cells, queries = drawn()[0], jnp.zeros((2, 1, WIDTH))
    make = jax.jit(lambda k: module.init(k, queries, queries[..., :2], cells, GRIDS))
    params = make(jax.random.key(0))["params"]
    assert not any(np.asarray(x).any() for x in params["attention_weights"].values())
    assert not np.asarray(params["sampling_offsets"]["kernel"]).any()


def test_grids_that_do_not_fit():
    values, places, weights = drawn()
    with pytest.raises(ValueError, match="reads 16 cells in 2 levels, but grids .* have 12"):
        attended_places(values, places, weights, ((4, 3),))
