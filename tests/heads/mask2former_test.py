"""Mask2Former as a head: what it returns, what it draws, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders
from m3i_jax.build import ConfigError
from m3i_jax.detection import mask_sets
from m3i_jax.heads.mask2former import Mask2Former
from tests.heads.layers import drawn, features

SMALL = dict(
    name="mask2former",
    width=8,
    mask_width=4,
    queries=3,
    rounds=1,
    encoder_layers=1,
    heads=2,
    hidden=8,
    encoder_hidden=8,
    points=8,
)
MAPS = features((2, 8, 8, 4), (2, 4, 4, 4), (2, 2, 2, 4), (2, 1, 1, 4))


def head(**how):
    return decoders.create(SMALL | how, out=5)


@pytest.fixture(scope="module")
def made():
    """Parameters, and answers in training by two keys."""
    params = {"params": drawn(head(), MAPS)}
    run = jax.jit(lambda p, k: head().apply(p, MAPS, train=True, rngs={"draw": k}))
    return params, [run(params, jax.random.key(number)) for number in (1, 2)]


def test_answers_of_every_layer_and_points_of_the_stream(made):
    _, (one, two) = made
    assert one.categories.shape == (2, 4, 3, 6) and one.masks.shape == (2, 4, 3, 8, 8)
    shapes = [x.shape for x in one.points]
    assert shapes == [(2, 4, 8, 2), (2, 4, 24, 2), (2, 4, 2, 2)]
    np.testing.assert_array_equal(one.masks, two.masks)
    for x, y in zip(one.points, two.points, strict=True):
        assert (np.asarray(x) != y).mean() > 0.99


def test_beside_training_the_last_layer_speaks(made):
    params, (answers, _) = made
    last = answers.categories[:, -1], answers.masks[:, -1]
    scores = jax.jit(lambda p: head().apply(p, MAPS))(params)
    np.testing.assert_allclose(scores, mask_sets.semantic_map(*last), rtol=1e-5, atol=1e-6)
    found = head(finds="objects", found=4)
    got = jax.eval_shape(lambda p: found.apply(p, MAPS, size=(32, 32)), params)
    want = mask_sets.mask_instances(*last, size=(32, 32), found=4)
    assert jax.tree.map(jnp.shape, got) == jax.tree.map(jnp.shape, want)
    low = jax.eval_shape(lambda p: head(dtype="bfloat16").apply(p, MAPS), params)
    assert low.shape == (2, 8, 8, 5) and low.dtype == jnp.float32


@pytest.mark.parametrize(
    "how, words",
    [
        (dict(width=10, heads=4), "width 10 and 4 heads; expected a multiple"),
        (dict(finds="things"), "no finds 'things'"),
        (dict(dtype="float8"), "no dtype 'float8'"),
    ],
)
def test_options_that_do_not_fit(how, words):
    with pytest.raises(ConfigError, match=words):
        Mask2Former(out=5, **how).check()


def test_objects_are_found_in_a_view_of_a_size():
    with pytest.raises(ConfigError, match="is not told its size"):
        jax.eval_shape(head(finds="objects").init, jax.random.key(0), MAPS)
