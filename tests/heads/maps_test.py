"""Maps by number, side by side, and what is said where there are none."""

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.heads import maps
from m3i_jax.types import Features
from tests.heads.layers import features, resize_

X = features((2, 4, 6, 3), (2, 2, 3, 5))


def test_maps_have_numbers_from_both_ends():
    for number, index in ((0, 0), (1, 1), (-1, 1), (-2, 0)):
        np.testing.assert_array_equal(maps.one(X, number, what="it"), X.maps[index])


def test_several_are_joined_at_the_size_of_the_largest():
    got = maps.joined(X, (1, 0), what="it")
    np.testing.assert_allclose(got[..., :5], resize_(np.float64(X.maps[1]), (4, 6)), atol=1e-5)
    np.testing.assert_array_equal(got[..., 5:], X.maps[0])
    np.testing.assert_array_equal(maps.joined(X, (1,), what="it"), X.maps[1])


def test_maps_that_are_not_there():
    for number in (2, -3):
        with pytest.raises(ConfigError, match=f"it reads map {number} of 2; .*from -2 to 1"):
            maps.one(X, number, what="it")
    for x in (Features(tokens=jnp.ones((1, 2, 3))), Features(maps=())):
        with pytest.raises(ConfigError, match="it reads maps of an encoder, but gets none"):
            maps.every(x, what="it")
