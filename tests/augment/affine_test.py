"""Moved images: against Pillow, and where the answer is known."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from m3i_jax.augment.affine import affine, rotation

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 20, 28, 3), np.uint8)
GROUND = (1, 2, 3)


def moved(matrices):
    return np.asarray(affine(IMAGES, jnp.array(matrices, jnp.float32), ground=GROUND))


def test_the_identity_changes_nothing():
    np.testing.assert_array_equal(moved([np.eye(2, 3)] * 3), IMAGES)


def test_each_image_is_moved_by_its_own_matrix():
    """Whole pixels to the left, up, and both: behind them is the ground."""
    got = moved([[[1, 0, 5], [0, 1, 0]], [[1, 0, 0], [0, 1, 4]], [[1, 0, -3], [0, 1, -2]]])
    np.testing.assert_array_equal(got[0, :, :-5], IMAGES[0, :, 5:])
    np.testing.assert_array_equal(got[1, :-4], IMAGES[1, 4:])
    np.testing.assert_array_equal(got[2, 2:, 3:], IMAGES[2, :-2, :-3])
    for ground in (got[0, :, -5:], got[1, -4:], got[2, :2], got[2, :, :3]):
        assert (ground == GROUND).all()


def test_as_pillow_moves_them():
    """Levels that Pillow cuts off behind the point: to one, and few of them."""
    matrices = np.random.default_rng(1).normal(0, 0.3, (3, 2, 3)) + np.eye(2, 3)
    matrices[:, :, 2] *= 5
    got = np.floor(np.clip(moved(matrices), 0, 255))
    how = dict(resample=Image.Resampling.BICUBIC, fillcolor=GROUND)
    for image, matrix, mine in zip(IMAGES, matrices, got, strict=True):
        want = Image.fromarray(image).transform((28, 20), 0, tuple(matrix.ravel()), **how)
        away = np.abs(np.asarray(want).astype(int) - mine)
        assert away.max() <= 1 and (away > 0).mean() < 0.01


@pytest.mark.parametrize("degrees", [-27.0, 0.0, 90.0])
def test_a_rotation_is_about_the_middle_and_counterclockwise(degrees):
    (matrix,) = np.asarray(rotation(jnp.array([degrees]), height=20, width=28))
    np.testing.assert_allclose(matrix @ [14, 10, 1], [14, 10], atol=1e-5)
    t = np.deg2rad(degrees)
    # What is shown at the right of the middle was below it (y grows downwards), a quarter turn on.
    np.testing.assert_allclose(matrix[:, :2] @ [1, 0], [np.cos(t), np.sin(t)], atol=1e-6)
