"""A name has a key of its own."""

import jax
import numpy as np

from m3i_jax.framework.keys import named


def test_a_name_has_its_own_key(key):
    data = lambda name: np.asarray(jax.random.key_data(named(key, name)))  # noqa: E731
    assert (data("mask/x") != data("mask/y")).any()
    assert (data("mask/x") == data("mask/x")).all()
