"""The caption decoder: who reads whom; its equations are in tests/engine/supervised_test.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders
from m3i_jax.build import ConfigError
from m3i_jax.types import Features

WORDS = jnp.array([[5, 3, 7, 2, 0, 0], [4, 8, 2, 0, 0, 0]], jnp.int32)


def logits(words, *, train=False, key=None, image=1.0, **fields):
    """What a decoder with random parameters says of an image and its words."""
    block = dict(name="caption", width=16, depth=2, heads=2, length=6) | fields
    module = decoders.create(block, out=9)
    draw = np.random.default_rng(0).normal
    x = Features(jnp.float32(image * draw(size=(2, 5, 12))), jnp.float32(draw(size=(2, 12))))
    shapes = jax.eval_shape(lambda k: module.init(k, x), jax.random.key(0))["params"]
    params = jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.4, s.shape)), shapes)
    rngs = None if key is None else {"draw": key}
    return np.asarray(module.apply({"params": params}, x, words=words, train=train, rngs=rngs))


@pytest.mark.parametrize("prefix", [False, True])
def test_a_word_is_read_by_those_behind_it_alone(prefix):
    said = functools.partial(logits, prefix=prefix)
    found, changed = said(WORDS), said(WORDS.at[:, 2].set(6))
    assert found.shape == (2, 6, 9)
    np.testing.assert_allclose(changed[:, :3], found[:, :3], atol=1e-6)
    assert (np.abs(changed[:, 3:] - found[:, 3:]).max(-1) > 1e-4).all()
    assert np.abs(said(WORDS, image=-1.0) - found).max() > 1e-2


def test_captions_that_are_predicted_at_once_are_not_read(key):
    at_once = dict(train=True, key=key, parallel=1.0)
    found = logits(WORDS, **at_once)
    np.testing.assert_allclose(logits(WORDS[:, ::-1], **at_once), found, atol=1e-6)
    assert np.abs(logits(WORDS, **at_once, image=-1.0) - found).max() > 1e-2
    # Nothing is drawn where nothing trains, and from the left all are read.
    np.testing.assert_allclose(
        logits(WORDS, parallel=1.0)[:, :1], logits(WORDS, parallel=0.5)[:, :1]
    )


def test_training_gives_it_a_share_of_the_image(key):
    one, two = (logits(WORDS, train=True, key=k, keep=0.4) for k in jax.random.split(key))
    assert np.abs(one - two).max() > 1e-3
    np.testing.assert_array_equal(logits(WORDS, keep=0.4), logits(WORDS))


def test_an_image_in_front_of_the_words_is_read_from_the_left():
    """Against one block in float64, whose sequence is the image's six tokens and the words."""
    module = decoders.create(
        dict(name="caption", width=8, depth=1, heads=1, length=6, prefix=True), out=9
    )
    draw = np.random.default_rng(1).normal
    x = Features(jnp.float32(draw(size=(2, 5, 12))), jnp.float32(draw(size=(2, 12))))
    shapes = jax.eval_shape(lambda k: module.init(k, x), jax.random.key(0))["params"]
    params = jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.4, s.shape)), shapes)
    found = module.apply({"params": params}, x, words=WORDS)
    p = jax.tree.map(np.float64, params)
    at = lambda part: p[f"blocks_0_{part}"]  # noqa: E731

    def norm(z, of):
        z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-6)
        return z * of["scale"] + of.get("bias", 0.0)

    image = np.concatenate([x.pooled[:, None], x.tokens], 1) @ p["image"]["kernel"]
    inputs = np.pad(WORDS[:, :-1], ((0, 0), (1, 0)))
    z = np.concatenate([image, p["token_embed"][inputs] + p["pos_embed"][None]], 1)
    y = norm(z, at("norm_words"))
    q, k, v = (y @ at(f"words_{role}")["kernel"] for role in "qkv")
    scores = np.where(np.tri(12, dtype=bool), q @ k.transpose(0, 2, 1) / np.sqrt(8), -np.inf)
    share = np.exp(scores - scores.max(-1, keepdims=True))
    z = z + share / share.sum(-1, keepdims=True) @ v @ at("words_proj")["kernel"]
    h = norm(z, at("norm_mlp")) @ at("fc1")["kernel"]
    h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    z = norm((z + h @ at("fc2")["kernel"])[:, 6:], p["norm"])
    np.testing.assert_allclose(found, z @ p["head"]["kernel"] + p["head"]["bias"], atol=2e-4)


def test_captions_that_are_too_long_are_refused():
    with pytest.raises(ConfigError, match=r"have 6 words, but .* set config\.captions\.length=4\b"):
        logits(WORDS, length=4)
    assert logits(WORDS[:, :4], length=4).shape == (2, 4, 9)
