"""DALL-E's encoder: exact count, its equations in float64, Pillow's reduction, its protocol."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from m3i_jax import encoders, networks, normalize, trees
from m3i_jax.build import ConfigError

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def tiny(**overrides):
    return encoders.create("dalle_encoder_nano", **(dict(width=8, vocabulary=12) | overrides))


def params_of(module, key):
    """Parameters whose branches outweigh the gain that makes them small."""
    params = jax.jit(module.init)(key, module.example())["params"]
    keys = iter(jax.random.split(key, len(jax.tree.leaves(params))))
    draw = lambda p: 2 * p + 0.1 * jax.random.normal(next(keys), p.shape)  # noqa: E731
    return jax.tree.map(draw, params)


def photographs(key, *shape):
    """(B, H, W, 3) in [0, 1], black and white in places, so that Lanczos overshoots."""
    return jnp.clip(0.5 + jax.random.normal(key, (*shape, 3)), 0, 1)


def apply(module, params, images, **how):
    return jax.jit(lambda p, x: module.apply({"params": p}, x, **how))(params, images)


def test_published_size(key):
    module = encoders.create("dalle_encoder")
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    assert trees.count(shapes) == 53_786_240
    out = jax.eval_shape(lambda p, x: module.apply({"params": p}, x), shapes, module.example())
    assert out.tokens.shape == (1, 196, 8192) and out.tokens.dtype == jnp.float32
    assert (module.patch, module.grid, module.features) == (16, (14, 14), 8192)
    assert (module.kind, module.masking) == ("image", "")
    assert set(shapes) == {"patch_embed", "head", *(f"stages_{i}" for i in range(4))}
    wider = [i for i in range(4) if "shortcut" in shapes[f"stages_{i}"]["blocks_0"]]
    assert wider == [1, 2, 3] and not any(
        "shortcut" in shapes[s]["blocks_1"] for s in ("stages_1",)
    )
    assert shapes["patch_embed"]["kernel"].shape == (7, 7, 3, 256)


def conv_(p, x):
    size = p["kernel"].shape[0]
    x = np.pad(x, ((0, 0), *((size // 2,) * 2,) * 2, (0, 0)))
    windows = sliding_window_view(x, (size, size), axis=(1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, p["kernel"]) + p["bias"]


def pool_(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def reduced_(images, by):
    """Pillow's Lanczos on float32 planes, then clipped as bytes are."""
    b, h, w, _ = images.shape
    out = np.empty((b, h // by, w // by, 3))
    for i in np.ndindex(b, 3):
        plane = Image.fromarray(np.ascontiguousarray(images[i[0], ..., i[1]], np.float32), "F")
        out[i[0], ..., i[1]] = plane.resize((w // by, h // by), Image.Resampling.LANCZOS)
    return np.clip(out, 0, 1)


def test_forward_in_float64(key):
    module = tiny(depths=(1, 2), image=(16, 24))
    params = params_of(module, key)
    photos = photographs(key, 2, 16, 24)
    x = 0.8 * reduced_(np.asarray(photos), 2) + 0.1
    p = jax.tree.map(np.float64, params)
    x, want = conv_(p["patch_embed"], x), []
    for i, depth in enumerate((1, 2)):
        x = pool_(x) if i else x
        for j in range(depth):
            b, y = p[f"stages_{i}"][f"blocks_{j}"], x
            for k in range(1, 5):
                assert b[f"conv{k}"]["kernel"].shape[0] == (3, 3, 3, 1)[k - 1]
                y = conv_(b[f"conv{k}"], np.maximum(y, 0))
            # Three blocks: 1/3².
            x = (conv_(b["shortcut"], x) if "shortcut" in b else x) + y / 9
            want.append(x)
    logits = np.maximum(x, 0) @ p["head"]["kernel"] + p["head"]["bias"]
    got = apply(module, params, np.float32((np.asarray(photos) - MEAN) / STD), layers=True)
    assert got.pooled is None and got.index is None and len(got.layers) == 3
    for layer, x in zip((*got.layers, got.tokens), (*want, logits), strict=True):
        x = x.reshape(2, -1, x.shape[-1])
        np.testing.assert_allclose(layer, x, rtol=1e-4, atol=2e-5 * np.abs(x).max())
    assert got.tokens.shape == (2, 4 * 6, 12)


def test_the_small_image_is_pillows_but_for_float32(key):
    photos = photographs(key, 2, 32, 48)
    got = encoders.create("dalle_encoder")._pixels(normalize.channels(photos))
    want = 0.8 * reduced_(np.asarray(photos), 2) + 0.1
    assert got.shape == (2, 16, 24, 3) and got.min() == 0.1 and got.max() == pytest.approx(0.9)
    np.testing.assert_allclose(got, want, atol=2e-6)
    # Unreduced, it is the photograph itself.
    got = encoders.create("dalle_encoder", reduce=1)._pixels(normalize.channels(photos))
    np.testing.assert_allclose(got, 0.8 * photos + 0.1, atol=1e-6)


def test_words_move_with_the_image(key):
    """A shift by one cell shifts the words that do not see the border, 8 cells from it."""
    module = tiny(image=(80, 16))
    params = params_of(module, key)
    images = jax.random.normal(key, (1, 80, 16, 3))
    both = jnp.concatenate([images, jnp.roll(images, module.patch, axis=1)])
    a, b = apply(module, params, both).tokens.reshape(2, 20, 4, -1)
    np.testing.assert_allclose(b[10], a[9], atol=1e-5 * float(np.abs(a).max()))
    assert np.abs(b[10] - a[10]).max() > 0.1


def test_bfloat16_stays_close_and_logits_are_float32(key):
    module = tiny()
    params = params_of(module, key)
    images = jax.random.normal(key, (2, 32, 32, 3))
    exact, half = (apply(tiny(dtype=t), params, images).tokens for t in ("float32", "bfloat16"))
    assert half.dtype == jnp.float32
    error = jnp.linalg.norm(half - exact) / jnp.linalg.norm(exact)
    # About ten roundings of 2^-9 each lie between pixels and logits.
    assert 1e-4 < error < 0.02
    # The last product is float32: its results have more digits than bfloat16 has.
    assert (half != half.astype(jnp.bfloat16).astype(jnp.float32)).mean() > 0.9


def test_it_is_a_tower(key):
    tower = {"tokenizer": {"name": "dalle_encoder_nano", "width": 8}}
    vit = {"name": "vit_nano", "width": 16, "depth": 1, "heads": 2}
    net = networks.build(vit, tower, {}, image=32, dtype="bfloat16", out={})
    found = net.towers["tokenizer"]
    # Each patch of the small ViT has its word.
    assert (found.grid, found.patch, found.width) == (net.towers["image"].grid, 4, 64)
    shapes = jax.eval_shape(net.init, key)
    out = jax.eval_shape(
        lambda p: net.encode(p, "tokenizer", jnp.zeros((2, 32, 32, 3)), train=True), shapes
    )
    assert out.tokens.shape == (2, 64, 64)


def test_mismatches_speak(key):
    module = tiny()
    params = jax.eval_shape(module.init, key, module.example())
    for shape, how, words in (
        ((1, 32, 30, 3), {}, "images are 32x30, which is not divisible by stride 4"),
        ((1, 32, 32, 3), {"visible": jnp.ones((1, 8, 8), bool)}, "sees every pixel"),
        ((1, 32, 32, 3), {"attention": True}, "no attention"),
    ):
        with pytest.raises(ValueError, match=words):
            jax.eval_shape(
                lambda p, x, how=how: module.apply(p, x, **how), params, jnp.zeros(shape)
            )
    for options, words in (
        ({"image": 30}, "image 30x30 is not divisible by patch 4"),
        ({"reduce": 0}, "reduce is 0, expected 1 to 16"),
        ({"width": 6}, "dalle_encoder has width 6"),
        ({"depths": ()}, "one block or more"),
    ):
        with pytest.raises(ConfigError, match=words):
            tiny(**options)
