"""Pyramids: exact counts, every level in float64 by loops, and what fits together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.heads.pyramid import FeaturePyramid, SimplePyramid
from m3i_jax.types import Features


def drawn(module, maps):
    shapes = jax.eval_shape(module.init, jax.random.key(0), Features(maps=maps))["params"]
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda s: draw(0.1, 0.3, s.shape).astype(np.float32), shapes)


def norm_(p, x):
    y = x - x.mean(-1, keepdims=True)
    return y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def conv_(p, x):
    """A convolution with zeros around, tap by tap, and its norm or bias."""
    kernel = p["conv"]["kernel"]
    k = kernel.shape[0] // 2
    padded = np.pad(x, ((0, 0), (k, k), (k, k), (0, 0)))
    (_, h, w, _) = x.shape
    y = sum(
        padded[:, i : i + h, j : j + w] @ kernel[i, j]
        for i in range(2 * k + 1)
        for j in range(2 * k + 1)
    )
    return norm_(p["norm"], y) if "norm" in p else y + p["conv"]["bias"]


def up_(p, x):
    b, h, w, _ = x.shape
    y = np.zeros((b, 2 * h, 2 * w, p["kernel"].shape[-1]))
    for i in range(2):
        for j in range(2):
            y[:, i::2, j::2] = x @ p["kernel"][i, j] + p["bias"]
    return y


def gelu_(x):
    return x * (1 + np.float64(jax.scipy.special.erf(x / np.sqrt(2)))) / 2


def test_parameters_of_vitdet():
    """detectron2's of ViT-B, level by level."""
    maps = (jax.ShapeDtypeStruct((1, 64, 64, 768), jnp.float32),)
    shapes = jax.eval_shape(SimplePyramid().init, jax.random.key(0), Features(maps=maps))
    levels = shapes["params"]
    counts = [trees.count(levels[f"levels_{i}"]) for i in range(4)]
    assert counts == [2_115_904, 1_869_184, 787_456, 787_456]
    assert trees.count(shapes) == 5_560_000


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_the_simple_pyramid_in_float64(norm):
    x = np.random.default_rng(1).normal(size=(2, 3, 5, 8)).astype(np.float32)
    module = SimplePyramid(4, norm)
    params = drawn(module, (x,))
    got = jax.jit(module.apply)({"params": params}, Features(maps=(x, x)))
    p = jax.tree.map(np.float64, params)
    pooled = x[:, :2, :4].reshape(2, 1, 2, 2, 2, 8).max((2, 4))
    first = up_(p["levels_0"]["up_0"], x)
    first = up_(p["levels_0"]["up_1"], gelu_(norm_(p["levels_0"]["norm"], first)))
    read = [first, up_(p["levels_1"]["up_0"], x), x, pooled]
    want = [
        conv_(p[f"levels_{i}"]["second"], conv_(p[f"levels_{i}"]["first"], y))
        for i, y in enumerate(read)
    ]
    want.append(want[-1][:, ::2, ::2])
    assert [y.shape[1:3] for y in got] == [(12, 20), (6, 10), (3, 5), (1, 2), (1, 1)]
    for ours, theirs in zip(got, want, strict=True):
        # atol: erf of float32, and norms of values that hardly differ.
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_the_feature_pyramid_in_float64(norm):
    rng = np.random.default_rng(1)
    maps = tuple(
        rng.normal(size=(2, h, w, d)).astype(np.float32)
        for h, w, d in ((7, 4, 3), (4, 2, 5), (2, 1, 6))
    )
    module = FeaturePyramid(4, norm)
    params = drawn(module, maps)
    got = jax.jit(module.apply)({"params": params}, Features(maps=maps))
    p = jax.tree.map(np.float64, params)
    levels = [conv_(p[f"laterals_{i}"], x) for i, x in enumerate(maps)]
    for i in (1, 0):
        for r in range(levels[i].shape[1]):
            for c in range(levels[i].shape[2]):
                levels[i][:, r, c] += levels[i + 1][:, r // 2, c // 2]
    want = [conv_(p[f"outputs_{i}"], x) for i, x in enumerate(levels)]
    want.append(want[-1][:, ::2, ::2])
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    "module, sizes, words",
    [
        (SimplePyramid(), ((1, 4, 8),), "reads a map of 1x4 cells and 8 channels; expected 2x2"),
        (SimplePyramid(), ((4, 4, 6),), "a width that 4 divides"),
        (SimplePyramid(), (), "the simple pyramid reads maps of an encoder, but gets none"),
        (FeaturePyramid(), ((4, 4, 6), (4, 4, 6)), "each is to be half .* pyramid 'simple'"),
        (FeaturePyramid(), (), "the feature pyramid reads maps of an encoder, but gets none"),
    ],
)
def test_maps_that_make_no_pyramid_are_refused(module, sizes, words):
    maps = tuple(jnp.zeros((1, *size)) for size in sizes)
    with pytest.raises(ConfigError, match=words):
        jax.eval_shape(module.init, jax.random.key(0), Features(maps=maps))
