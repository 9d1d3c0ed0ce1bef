"""Maps of four strides: those that an encoder has, those of a ViT, and those that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from m3i_jax.build import ConfigError
from m3i_jax.heads.pyramid import SimplePyramid
from m3i_jax.heads.strides import four
from m3i_jax.types import Features
from tests.heads.layers import drawn, features


class Reads(nn.Module):
    pyramid: str

    @nn.compact
    def __call__(self, x):
        return four(x, self.pyramid, width=8, dtype=jnp.float32, what="a head")


def test_an_encoders_maps_are_as_they_are():
    x = features((1, 7, 5, 3), (1, 4, 3, 3), (1, 2, 1, 3), (1, 1, 1, 3))
    assert all(a is b for a, b in zip(Reads("none").apply({}, x), x.maps, strict=True))


def test_of_a_vit_they_are_the_first_four_of_a_pyramid():
    x = features((1, 4, 4, 8), (1, 4, 4, 8))
    params = drawn(Reads("simple"), x)
    got = Reads("simple").apply({"params": params}, x)
    assert [y.shape for y in got] == [(1, n, n, 8) for n in (16, 8, 4, 2)]
    want = SimplePyramid(8).apply({"params": params["pyramid"]}, x)
    for a, b in zip(got, want, strict=False):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "sizes, words",
    [((8, 4, 2), "8x8, 4x4, 2x2 cells; expected 4 maps"), ((4, 4, 4, 4), "pyramid 'simple' makes")],
)
def test_maps_that_do_not_fit(sizes, words):
    maps = tuple(jax.ShapeDtypeStruct((1, n, n, 4), jnp.float32) for n in sizes)
    with pytest.raises(ConfigError, match=words):
        jax.eval_shape(Reads("none").init, jax.random.key(0), Features(maps=maps))
