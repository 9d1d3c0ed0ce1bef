"""Resizing on the device against Pillow's, of cuts of every shape in one batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage import data

from m3i_jax.augment import resize
from m3i_jax.data.views.crops import INTERPOLATIONS

CANVAS, SIZE = 40, 16
SIDES = [(40, 40), (16, 16), (1, 1), (3, 40), (40, 3), (17, 15), (32, 8), (7, 29), (16, 33)]


@pytest.fixture(scope="module")
def cuts():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (len(SIDES), CANVAS, CANVAS, 3))
    return (noise // 128 * 255).astype(np.uint8)  # black and white: filters overshoot


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_as_pillow_resizes_each_of_them(cuts, interpolation):
    """To a level: Pillow's weights have 22 bits behind the point. One pass is asked for at a time,
    as which is the first depends on its version."""
    run = jax.jit(lambda x, s: resize.resized(x, s, size=SIZE, interpolation=interpolation))
    got = np.asarray(run(cuts, jnp.array(SIDES, jnp.float32)))
    unequal = 0
    for cut, (height, width), mine in zip(cuts, SIDES, got, strict=True):
        image = Image.fromarray(cut[:height, :width])
        across = image.resize((SIZE, height), INTERPOLATIONS[interpolation])
        want = np.asarray(across.resize((SIZE, SIZE), INTERPOLATIONS[interpolation])).astype(int)
        assert np.abs(want - mine).max() <= 1, (height, width)
        unequal += (want != mine).mean() / len(SIDES)
    assert unequal < 0.02  # many values lie between two levels: halves of black and white


def test_what_is_beside_a_cut_has_no_influence(cuts):
    sides = jnp.array(SIDES, jnp.float32)
    beside = np.stack([np.pad(cut[:h, :w], ((0, CANVAS - h), (0, CANVAS - w), (0, 0)))
                       for cut, (h, w) in zip(cuts, SIDES, strict=True)])  # fmt: skip
    run = jax.jit(lambda x: resize.resized(x, sides, size=SIZE))
    np.testing.assert_array_equal(run(cuts), run(beside))


def test_a_cut_of_the_views_size_is_the_view(cuts):
    sides = jnp.full((len(cuts), 2), SIZE)
    got = resize.resized(cuts, sides, size=SIZE)
    np.testing.assert_array_equal(got, cuts[:, :SIZE, :SIZE])


def test_photographs_are_resized_as_pillow_does_in_one_go():
    photograph = data.astronaut()[100:480, 60:360]  # taller than wide
    height, width = photograph.shape[:2]
    cut = np.zeros((1, 400, 400, 3), np.uint8)
    cut[0, :height, :width] = photograph
    (got,) = resize.resized(cut, jnp.array([[height, width]], jnp.float32), size=224)
    want = Image.fromarray(photograph).resize((224, 224), INTERPOLATIONS["bicubic"])
    away = np.abs(np.asarray(want).astype(int) - np.asarray(got))
    # Down first, as here, or across first: 22 % of the values are one level apart.
    assert (away > 0).mean() < 0.25 and (away > 1).mean() < 1e-3 and away.max() <= 4
