"""Stem and stages on DCNv3: padding, norms behind blocks, PixelShuffle, by their definitions."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.nn.dcn import Form
from m3i_jax.nn.dcn_stages import Stage, Stem, pixel_shuffle

FORM = Form("pre", None, 2.0, 3, 1.0, False, 1e-6, jnp.float32)


def drawn_like(shapes):
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda s: np.float32(draw(0.05, 0.25, s.shape)), shapes)


def norm_(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def test_pixel_shuffle():
    x = np.arange(2 * 3 * 2 * 18).reshape(2, 3, 2, 18)
    y = np.asarray(pixel_shuffle(jnp.asarray(x), 3))
    assert y.shape == (2, 9, 6, 2)
    for b, i, j, c in np.ndindex(y.shape):
        assert y[b, i, j, c] == x[b, i // 3, j // 3, 9 * c + 3 * (i % 3) + j % 3]


def test_stem_pads_both_sides(key):
    """ "SAME" would pad below and right alone, and shift the map by a pixel."""
    module, images = Stem(8, FORM), np.float32(jax.random.normal(key, (1, 8, 12, 3)))
    params = jax.tree.map(
        np.float64, drawn_like(jax.eval_shape(module.init, key, images)["params"])
    )

    def conv(p, x):
        height, width = x.shape[1:3]
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        taps = np.ndindex(3, 3)
        return p["bias"] + sum(
            x[:, i : i + height : 2, j : j + width : 2] @ p["kernel"][i, j] for i, j in taps
        )

    x = norm_(params["norm1"], conv(params["conv1"], np.float64(images)))
    x = x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
    want = norm_(params["norm2"], conv(params["conv2"], x))
    got = module.apply({"params": jax.tree.map(np.float32, params)}, images)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def stage(key, **fields):
    """A stage of width 4 with norms behind some of its blocks, its parameters and its input."""
    module = Stage(groups=2, form=FORM, end_norm=True, downsample=False, **fields)
    x = jax.random.normal(key, (2, 4, 4, 4))
    rates = np.linspace(0, 0.3, module.depth, dtype=np.float32)
    shapes = jax.eval_shape(module.init, {"params": key, "droppath": key}, x, rates)
    return module, drawn_like(shapes["params"]), x, rates


@pytest.mark.parametrize("how", [dict(scan=False), dict(remat="full"), dict(remat="dots")])
def test_compilation_has_no_effect(key, how):
    module, params, x, rates = stage(key, depth=3, normed_after=(0, 2), drop=True)
    rngs = {"droppath": jax.random.key(1)}

    def loss(module, params):
        y, _, _ = module.apply({"params": params}, x, rates, rngs=rngs)
        return (jnp.sin(y) ** 2).sum()

    run = lambda m: jax.jit(jax.value_and_grad(functools.partial(loss, m)))(params)  # noqa: E731
    (value, grad), (want, want_grad) = run(module.clone(**how)), run(module)
    np.testing.assert_allclose(value, want, rtol=1e-6)
    for (path, x), y in zip(trees.named_leaves(grad), jax.tree.leaves(want_grad), strict=True):
        scale = max(1e-3, np.abs(y).max())
        np.testing.assert_allclose(x / scale, y / scale, atol=2e-5, err_msg=path)
        assert np.asarray(y).any(), path


def test_post_norms_act_behind_their_blocks(key):
    """Each moves the outputs of its own block and of those behind it, and of no others."""
    module, params, x, rates = stage(key, depth=4, normed_after=(1, 3), keep=True)
    run = jax.jit(lambda params: module.apply({"params": params}, x, rates)[2])
    before, scale = run(params), params["post_norms"]["scale"]
    assert before.shape == (4, 2, 16, 4) and scale.shape == (2, 4)
    for which, first in ((0, 1), (1, 3)):
        moved = scale + np.eye(2, dtype=np.float32)[which][:, None]
        after = run(params | {"post_norms": params["post_norms"] | {"scale": moved}})
        assert (before != after).any((1, 2, 3)).tolist() == [i >= first for i in range(4)]
