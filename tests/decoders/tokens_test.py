"""The parts of dense decoders."""

import jax.numpy as jnp
import numpy as np

from m3i_jax import geometry
from m3i_jax.decoders import tokens


def test_fill_puts_tokens_where_they_belong():
    cells, new = jnp.zeros((2, 4, 3)), 1.0 + jnp.arange(12.0).reshape(2, 2, 3)
    index = jnp.array([[3, 0], [1, 2]])
    got = np.asarray(tokens.fill(cells, index, new))
    want = np.zeros((2, 4, 3))
    for b in range(2):
        for i in range(2):
            want[b, index[b, i]] = new[b, i]
    np.testing.assert_array_equal(got, want)


def test_with_class():
    x, c = jnp.ones((2, 4, 3)), jnp.zeros((2, 3))
    both, first = tokens.with_class(x, c)
    assert both.shape == (2, 5, 3) and first == 1 and not both[:, 0].any() and both[:, 1:].all()
    same, first = tokens.with_class(x, None)
    assert same is x and first == 0


def test_absolute_positions():
    np.testing.assert_array_equal(tokens.absolute((2, 3), 8), geometry.sincos((2, 3), 8))
