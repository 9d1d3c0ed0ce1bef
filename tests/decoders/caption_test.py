"""The caption decoder: who reads whom; its equations are in tests/engine/supervised_test.py."""

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


def test_a_word_is_read_by_those_behind_it_alone():
    other = WORDS.at[:, 2].set(6)
    found, changed = logits(WORDS), logits(other)
    assert found.shape == (2, 6, 9)
    np.testing.assert_allclose(changed[:, :3], found[:, :3], atol=1e-6)
    assert (np.abs(changed[:, 3:] - found[:, 3:]).max(-1) > 1e-4).all()
    assert np.abs(logits(WORDS, image=-1.0) - found).max() > 1e-2


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


def test_captions_that_are_too_long_are_refused():
    with pytest.raises(ConfigError, match="captions have 6 words, but .* length 4: set config"):
        logits(WORDS, length=4)
