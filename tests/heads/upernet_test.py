"""UPerNet: its equations in float64, counts, refusals; tests/parity has it beside transformers'."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders
from m3i_jax.build import ConfigError
from m3i_jax.types import Features
from tests.heads.layers import (
    apply,
    conv_,
    count,
    deconv_,
    drawn,
    features,
    head_,
    norm_,
    resize_,
    wide,
)  # fmt: skip


def head(**how):
    return decoders.create(dict(name="upernet", width=6, bins=(1, 3), dropout=0.0) | how, out=5)


def unit_(p, x, train):
    return np.maximum(norm_(p["norm"], conv_(p["conv"], x), train), 0)


def means_(x, bins):
    """Means of x in bins × bins parts that overlap where sides are not divisible."""
    cut = lambda n: [  # noqa: E731
        slice(math.floor(i * n / bins), math.ceil((i + 1) * n / bins)) for i in range(bins)
    ]
    rows, columns = cut(x.shape[1]), cut(x.shape[2])
    return np.stack([np.stack([x[:, i, j].mean((1, 2)) for j in columns], 1) for i in rows], 1)


def upernet_(p, maps, train):
    unit = lambda name, x: unit_(p[name], x, train)  # noqa: E731
    *finer, x = maps
    pyramid = [
        resize_(unit(f"pyramid_{i}", means_(x, b)), x.shape[1:3]) for i, b in enumerate((1, 3))
    ]
    levels = [unit("bottleneck", np.concatenate([x, *pyramid], -1))]
    for i, y in reversed(list(enumerate(finer))):
        levels.insert(0, unit(f"laterals_{i}", y) + resize_(levels[0], y.shape[1:3]))
    grid = levels[0].shape[1:3]
    levels[:-1] = [unit(f"outputs_{i}", y) for i, y in enumerate(levels[:-1])]
    y = unit("fusion", np.concatenate([resize_(y, grid) for y in levels], -1))
    return head_(p["head"], y)


def test_maps_of_a_hierarchy_in_float64():
    x = features((2, 7, 5, 4), (2, 4, 3, 6))
    module = head(norm_in=True)
    params = drawn(module, x)
    p = wide(params)
    maps = [
        (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
        * p[f"norm_{i}"]["scale"] + p[f"norm_{i}"]["bias"]
        for i, y in enumerate(wide(x.maps))
    ]  # fmt: skip
    for train in (False, True):
        got = apply(module, params, x, train=train)
        np.testing.assert_allclose(got, upernet_(p, maps, train), rtol=1e-3, atol=1e-3)
    low = apply(head(norm_in=True, dtype="bfloat16"), params, x)
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, upernet_(p, maps, False), rtol=0.1, atol=0.2)


def test_maps_of_one_grid_in_float64():
    """Of an odd one, whose last row is in no cell of half the size."""
    x = features(*[(2, 3, 5, 4)] * 4)
    params = drawn(head(), x)
    p, (first, second, third, last) = wide(params), wide(x.maps)
    necks = p["necks"]
    y = norm_(necks["first"]["norm"], deconv_(necks["first"]["conv"], first), False)
    y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
    halved = last[:, :2, :4].reshape(2, 1, 2, 2, 2, 4).max((2, 4))
    maps = deconv_(necks["second"], y), deconv_(necks["third"], second), third, halved
    got = apply(head(), params, x)
    assert got.shape == (2, 12, 20, 5)
    np.testing.assert_allclose(got, upernet_(p, maps, False), rtol=1e-3, atol=1e-3)


def test_counts():
    """Of ADE20K's 150 classes on a ViT-B, as wide as it is, and on a Swin-B."""

    def wanted(widths, d):
        top = widths[-1]
        sizes = [top * d] * 4 + [9 * (top + 4 * d) * d]
        sizes += [w * d for w in widths[:-1]] + [9 * d * d] * 3 + [9 * 4 * d * d]
        return sum(sizes) + 2 * d * len(sizes) + d * 150 + 150

    vit = decoders.create({"name": "upernet", "width": 768}, out=150)
    necks = 3 * 4 * 768**2 + 2 * 768 + 2 * 768
    assert count(vit, *[(1, 32, 32, 768)] * 4) == wanted([768] * 4, 768) + necks == 75_044_502
    widths = [128, 256, 512, 1024]
    swin = decoders.create({"name": "upernet", "norm_in": True}, out=150)
    maps = [(1, 128 >> i, 128 >> i, w) for i, w in enumerate(widths)]
    assert count(swin, *maps) == wanted(widths, 512) + 2 * sum(widths) == 33_319_830


@pytest.mark.parametrize(
    "shapes, words",
    [
        ([(4, 4)] * 3, "gets 3 of one grid, 4x4 cells; expected 4 maps"),
        ([(1, 4)] * 4, "maps of 1x4 cells, of which no map of half"),
        ([(4, 4), (5, 2)], "a map of 5x2 cells behind one of 4x4; expected the finest first"),
    ],
)
def test_maps_that_do_not_fit(shapes, words):
    maps = tuple(jax.ShapeDtypeStruct((1, *size, 4), jnp.float32) for size in shapes)
    with pytest.raises(ConfigError, match=words):
        jax.eval_shape(head().init, jax.random.key(0), Features(maps=maps))
