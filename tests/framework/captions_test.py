"""Captions as targets: words as they are, padding that nobody asks for."""

import jax.numpy as jnp
import numpy as np

from m3i_jax import framework as fw
from m3i_jax import losses
from m3i_jax.framework import information
from m3i_jax.types import View

WORDS = jnp.array([[5, 3, 0, 0], [4, 2, 1, 0]], jnp.int32)


def test_words_are_the_target_as_they_are():
    encoder = fw.caption(words=8)
    inputs = fw.EncoderInput(View(WORDS), None, None, {}, 0.0, None)
    np.testing.assert_array_equal(encoder.apply(inputs)[0].target_index, WORDS)
    assert encoder.width({}) == 8 and encoder.stop_gradient


def test_padding_is_not_counted():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 8)), jnp.float32)
    target = fw.Target(target_index=WORDS, asked=WORDS != 0)
    found = information.of_vocabulary(logits, target, jnp.ones(2))
    values = np.asarray(losses.categorical(logits, WORDS))
    rows = [values[0, :2].mean(), values[1, :3].mean()]
    np.testing.assert_allclose(found.prediction, -np.mean(rows), rtol=1e-6)
    np.testing.assert_allclose(found.entropy, np.log(5), rtol=1e-6)  # five words, each once
