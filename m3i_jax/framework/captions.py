"""Captions as targets, word by word."""

import jax.numpy as jnp

from m3i_jax.framework.codes import Encoder
from m3i_jax.types import Features


def caption(*, words: int) -> Encoder:
    """The words of a text as they are, (B, T), of a vocabulary of `words`; 0 is padding.

    No parameters: what a decoder of captions predicts (Cap, Tschannen et al. 2023,
    https://arxiv.org/abs/2306.07915).
    """

    def apply(inputs):
        return Features(target_index=inputs.view.data.astype(jnp.int32)), {}

    what = dict(stop_gradient=True, represents="words")
    return Encoder("caption", "image", apply, lambda nodes: words, **what)
