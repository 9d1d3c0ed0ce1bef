"""InternImage: exact counts, the network put together in NumPy, M3I's map, refusals."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, encoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.training.layer_decay import layer_scales
from m3i_jax.training.optimizer import NO_DECAY
from m3i_jax.types import Features

# The official code's: with a 1000-class head, without.
COUNTS = {
    "internimage_t": (29_918_424, 28_754_672),
    "internimage_s": (50_079_880, 48_502_560),
    "internimage_b": (97_461_832, 94_909_920),
    "internimage_l": (223_334_810, 218_952_370),
    "internimage_xl": (334_819_780, 328_971_228),
    "internimage_h": (1_089_636_760, 1_073_122_480),
    "internimage_g": (3_076_373_352, 3_052_781_184),
}
ATTENTION_POOLED = ("internimage_h", "internimage_g")


def shapes_of(module, key):
    return jax.eval_shape(module.init, key, module.example())["params"]


class Head(nn.Module):
    """Head of T to XL: 1×1 convolution to 1.5 times the width, BN, GELU, GAP, Linear."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(3 * x.shape[-1] // 2, use_bias=False)(x)
        x = nn.gelu(nn.BatchNorm(use_running_average=True)(x), approximate=False)
        return nn.Dense(1000)(x.mean(1))


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name, key):
    module = encoders.create(name, image=64)
    backbone = trees.count(shapes_of(module, key))
    if name in ATTENTION_POOLED:
        fused = encoders.create(name, image=64, fused=1024)
        head = trees.count(shapes_of(fused, key)) - backbone
        pool = decoders.create(dict(name="attention_pool", out=768))
        features = Features(tokens=jnp.zeros((1, 16, 1024)))
        head += trees.count(jax.eval_shape(pool.init, key, features)) + 769 * 1000
    else:
        tokens = jnp.zeros((1, 4, module.features))
        head = trees.count(jax.eval_shape(Head().init, key, tokens)["params"])
    assert (backbone + head, backbone) == COUNTS[name]


def test_fused_map_of_h(key):
    module = encoders.create("internimage_h", image=192, fused=1024)
    assert (module.grid, module.patch, module.features) == ((12, 12), 16, 1024)
    assert trees.count(shapes_of(module, key)["projection"]) == 11_801_600
    plain = encoders.create("internimage_h", image=192)
    assert (plain.grid, plain.patch, plain.features) == ((6, 6), 32, 2560)


TINY = dict(image=32, width=8, groups=2, depths=(1, 1, 2, 1), mlp_ratio=2)
FORMS = {
    "internimage_t": {},
    "internimage_s": dict(layer_scale=0.5),
    "internimage_h": dict(post_norms=(0,), fused=8),
    "internimage_g": dict(post_norms=(1,)),
}


def tiny(name="internimage_t", **overrides):
    return encoders.create(name, **(TINY | FORMS[name] | overrides))


def drawn(module, key):
    """Parameters without any zeros or ones."""
    return drawn_like(shapes_of(module, key))


def drawn_like(shapes):
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda s: np.float32(draw(0.05, 0.25, s.shape)), shapes)


def encode(module, params, images, **static):
    run = functools.partial(module.apply, **static)
    return jax.jit(lambda p, x: run({"params": p}, x))(params, images)


@pytest.mark.parametrize("name", FORMS)
def test_norms_at_the_ends_of_stages(key, name):
    """They are there unless the form is post-norm, or with the centre scale."""
    paths = {path for path, _ in trees.named_leaves(shapes_of(tiny(name), key))}
    ends = {f"stages_{i}/norm/scale" for i in range(4)}
    assert ends <= paths if name != "internimage_s" else not ends & paths
    assert ("stages_2/post_norms/scale" in paths) == (name in ATTENTION_POOLED)


@pytest.mark.parametrize("name", ["internimage_s", "internimage_g"])
def test_code_is_the_last_stage(key, name):
    module = tiny(name, depths=(1, 1, 2))
    params, images = drawn(module, key), jax.random.normal(key, (2, 32, 48, 3))
    got = encode(module, params, images, layers=True)
    assert [x.shape for x in got.layers] == [(2, 96, 8), (2, 24, 16), (2, 6, 32), (2, 6, 32)]
    assert got.pooled is None and got.index is None and got.tokens.dtype == jnp.float32
    want = np.float64(got.layers[-1])
    if name == "internimage_g":
        want = norm_(params["stages_2"]["norm"], want)
    np.testing.assert_allclose(got.tokens, want, rtol=2e-5, atol=2e-5)


def norm_(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def test_fused_map_from_the_layers(key):
    module = tiny("internimage_h", depths=(1, 1, 2))
    params, images = drawn(module, key), jax.random.normal(key, (2, 32, 48, 3))
    got = encode(module, params, images, layers=True)
    p = jax.tree.map(np.float64, params)
    x3 = norm_(p["stages_1"]["norm"], np.float64(got.layers[1])).reshape(2, 4, 6, 16)
    x4 = norm_(p["stages_2"]["norm"], np.float64(got.layers[3])).reshape(2, 2, 3, 32)
    coarse, fine = (
        x @ p["projection"][n]["kernel"] + p["projection"][n]["bias"]
        for n, x in (("x4", x4), ("x3", x3))
    )
    want = fine.copy()
    for row, column, channel in np.ndindex(4, 6, 8):
        place = 4 * channel + 2 * (row % 2) + column % 2  # channel-major
        want[:, row, column, channel] += coarse[:, row // 2, column // 2, place]
    np.testing.assert_allclose(got.tokens, want.reshape(2, 24, 8), rtol=2e-5, atol=2e-5)


def test_bfloat16_is_close(key):
    module = tiny("internimage_h", depths=(1, 1, 2))
    params, images = drawn(module, key), jax.random.normal(key, (2, 32, 32, 3))
    want = encode(module, params, images).tokens
    got = encode(module.clone(dtype="bfloat16"), params, images).tokens
    assert got.dtype == jnp.float32 and np.isfinite(got).all()
    # Some thirty products in a row, each rounded to 2^-9.
    error = np.linalg.norm(got - want) / np.linalg.norm(want)
    assert 0 < error < 0.05


def test_names_that_the_optimiser_reads(key):
    module = tiny("internimage_h", layer_scale=0.1)
    shapes = shapes_of(module, key)
    vectors = {p for p, x in trees.named_leaves(shapes) if x.ndim - ("blocks/" in p) <= 1}
    assert all(re.search(NO_DECAY, path) for path in vectors)
    scales = layer_scales(shapes, 0.5)
    # `lr_decay_keywards` of the official code: blocks alone count, from 0 at the last one; what
    # looks at the images is as the first block.
    assert scales["patch_embed/conv1/kernel"] == 0.5**4
    np.testing.assert_allclose(scales["stages_2/blocks/dcn/offset/kernel"], [0.5**2, 0.5])
    assert scales["projection/x4/kernel"] == 1.0


def test_refusals(key):
    module = tiny()
    params, image = drawn(module, key), np.zeros((1, 32, 32, 3), np.float32)
    assert module.masking == ""
    with pytest.raises(ValueError, match="needs no mask tokens"):
        module.apply({"params": params}, image, visible=np.ones((1, 1, 1), bool))
    with pytest.raises(ValueError, match="no attention"):
        module.apply({"params": params}, image, attention=True)
    with pytest.raises(ValueError, match="40x32"):
        module.apply({"params": params}, np.zeros((1, 40, 32, 3), np.float32))


@pytest.mark.parametrize(
    "overrides, words",
    [
        (dict(image=200), "image 200x200 is not divisible by stride 32"),
        (dict(groups=3), "width 64 and 3 groups"),
        (dict(norm="res-post"), "did you mean 'res_post'"),
        (dict(dw_kernel=4), "dw_kernel 4, expected an odd number"),
        (dict(post_norms=(18,)), "from 0 to 17"),
        (dict(fused=0), "fused is 0"),
        (dict(drop_path=1.0), "drop_path is 1.0"),
    ],
)
def test_configs_that_are_refused(overrides, words):
    with pytest.raises(ConfigError, match=words):
        encoders.create("internimage_t", **overrides)
