"""Blur against a direct sum over mirrored pixels in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import augment
from m3i_jax.augment import blur

RNG = np.random.default_rng(0)


def direct(image, sigma):
    """Rows, then columns, of one image, by padding with its mirror image."""
    out = np.asarray(image, np.float64)
    for axis in range(2):
        radius = blur.radius(out.shape[axis])
        t = np.arange(-radius, radius + 1)
        w = np.exp(-(t**2) / (2 * sigma**2))
        w /= w.sum()
        length = out.shape[axis]
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(out, padding, mode="reflect")
        out = sum(
            w[k] * np.take(padded, np.arange(k, k + length), axis) for k in range(2 * radius + 1)
        )
    return out


@pytest.mark.parametrize("shape", [(64, 64), (40, 24), (3, 70), (2, 2)])
def test_equals_the_direct_sum_edges_included(shape):
    images = RNG.uniform(size=(3, *shape, 3))
    sigma = np.array([0.15, 0.8, 2.0])
    got = jax.jit(augment.gaussian_blur)(images.astype(np.float32), sigma.astype(np.float32))
    for b in range(3):
        np.testing.assert_allclose(got[b], direct(images[b], sigma[b]), atol=1e-6)


def test_radius_rule():
    sides = (224, 192, 96, 64, 32, 8, 2)
    assert [blur.radius(s) for s in sides] == [11, 10, 5, 3, 2, 1, 1]
    assert [blur.radius(s, widest=2.0) for s in sides] == [11, 10, 6, 6, 6, 6, 1]


def test_width_zero_and_a_single_pixel_leave_the_image():
    images = jnp.asarray(RNG.uniform(size=(2, 32, 32, 3)), jnp.float32)
    np.testing.assert_array_equal(augment.gaussian_blur(images, jnp.zeros(2)), images)
    dot = images[:, :1, :1]
    np.testing.assert_array_equal(augment.gaussian_blur(dot, jnp.ones(2)), dot)


def test_a_constant_stays_and_contrast_falls():
    flat = jnp.full((1, 30, 30, 3), 0.3)
    np.testing.assert_allclose(augment.gaussian_blur(flat, jnp.ones(1)), flat, atol=1e-6)
    images = RNG.uniform(size=(1, 64, 64, 3))
    stds = [float(augment.gaussian_blur(images, jnp.array([s])).std()) for s in (0.1, 0.5, 1, 2)]
    assert stds == sorted(stds, reverse=True) and stds[-1] < 0.5 * stds[0]
