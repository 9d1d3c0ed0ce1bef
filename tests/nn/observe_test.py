"""What observers of blocks are told, against what the blocks hand out whole; and its memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.nn import observe
from m3i_jax.nn.windows import cells
from m3i_jax.types import Scores

TINY_VIT = dict(image=(8, 12), patch=4, width=16, depth=3, heads=2)
TINY_SWIN = dict(width=8, depths=(2, 2), heads=(2, 4), image=(48, 32), window=5)


def weights(scores):
    return {"weights": jax.nn.softmax(scores.logits, axis=-1), "real": scores.real}


def means(tokens):
    return tokens.mean(axis=-1), tokens[:, 0]


def encoded(module, params, images, **how):
    encode = jax.jit(lambda params: module.apply({"params": params}, images, **how))
    return encode(params)


@functools.cache
def tiny(name, **fields):
    """A module, parameters of it drawn without zeros, and images."""
    module = encoders.create(name, **fields)
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    draw = np.random.default_rng(0).normal
    params = jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.2, s.shape)), shapes)
    images = jnp.float32(draw(size=(2, *module.size, 3)))
    return module, params, images


@pytest.mark.parametrize("scan", [True, False], ids=["scan", "unrolled"])
@pytest.mark.parametrize("remat", ["none", "full"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_vit_tells_what_it_returns_whole(scan, remat, dtype):
    fields = dict(TINY_VIT, scan=scan, remat=remat, dtype=dtype, relative_bias="layer")
    module, params, images = tiny("vit_s16", **fields)
    whole = encoded(module, params, images, layers=True, attention=True)
    told = encoded(module, params, images, layers=means, attention=weights)
    assert told.attention["weights"].dtype == jnp.float32
    # Two programs, which the compiler may fuse in two ways.
    close = functools.partial(np.testing.assert_allclose, atol=2e-2 if dtype != "float32" else 1e-6)
    close(told.attention["weights"], whole.attention)
    close(told.layers[0][:, :, 1:], whole.layers.mean(axis=-1))
    close(told.layers[1], whole.layers_pooled)
    assert told.attention["real"] is None
    assert told.layers_pooled is None
    close(told.tokens, whole.tokens)


@pytest.mark.parametrize("scan", [True, False], ids=["scan", "unrolled"])
def test_swin_tells_where_its_windows_are(scan):
    module, params, images = tiny("swin_v2_t", **TINY_SWIN, scan=scan)
    whole = encoded(module, params, images, layers=True, attention=True)
    told = encoded(module, params, images, layers=means, attention=lambda s: (weights(s), s.cells))
    assert len(told.attention) == len(told.layers) == 4
    for block, cut in enumerate(module.windows()):
        seen, where = told.attention[block]
        np.testing.assert_allclose(seen["weights"], whole.attention[block], atol=1e-6)
        np.testing.assert_array_equal(where, cells(cut))
        np.testing.assert_array_equal(seen["real"], cells(cut) >= 0)
        np.testing.assert_allclose(
            told.layers[block][0], whole.layers[block].mean(-1), rtol=1e-5, atol=1e-5
        )


def test_windows_that_divide_the_map_say_that_all_is_real():
    module, params, images = tiny("swin_v2_t", **TINY_SWIN | {"window": 2})
    told = encoded(module, params, images, attention=lambda scores: scores.real is None and 1.0)
    np.testing.assert_array_equal(told.attention, np.ones(4))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("resnet_nano", {}),
        ("replknet_nano", {}),
        ("internimage_t", dict(width=16, groups=2, depths=(1, 1), image=32)),
        ("dalle_encoder_nano", {}),
    ],
)
def test_convolutions_tell_their_cells_and_have_no_scores(name, fields):
    module, params, images = tiny(name, **fields)
    whole = encoded(module, params, images, layers=True)
    told = encoded(module, params, images, layers=means)
    assert len(told.layers) == len(whole.layers) > 1
    for one, tokens in zip(told.layers, whole.layers, strict=True):
        size = np.abs(tokens).max()
        np.testing.assert_allclose(one[0], tokens.mean(-1), atol=2e-6 * size)
        np.testing.assert_allclose(one[1], tokens[:, 0], atol=2e-6 * size)
    with pytest.raises(ValueError, match="no attention"):
        module.apply({"params": params}, images, attention=weights)


def test_nothing_is_asked_and_nothing_kept():
    scores = Scores(jnp.zeros((1, 2, 3, 4)))
    assert observe.kept(False, jnp.zeros((1, 2, 3))) is None
    assert observe.attended(False, scores) is None
    np.testing.assert_array_equal(observe.attended(True, scores), np.full((1, 2, 3, 4), 0.25))
    assert observe.kept(True, jnp.zeros((1, 2, 3, 4))).shape == (1, 6, 4)


def test_no_more_than_one_block_of_a_vit_at_224_is_in_memory():
    module = encoders.create("vit_b16")
    params = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    images = jax.ShapeDtypeStruct((8, 224, 224, 3), jnp.float32)

    def peak(attention):
        encode = lambda p, x: module.apply({"params": p}, x, attention=attention)  # noqa: E731
        memory = jax.jit(encode).lower(params, images).compile().memory_analysis()
        return memory.temp_size_in_bytes + memory.output_size_in_bytes

    def rows(scores):
        return jax.nn.softmax(scores.logits, axis=-1).max(axis=(-1, -2))

    block = 8 * 12 * 197**2 * 4  # bytes of the attention of one block
    assert peak(rows) - peak(False) < 2 * block
    assert peak(True) - peak(False) > 11 * block
