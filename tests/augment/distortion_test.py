"""Photometric distortion against plain per-pixel Python, colorsys among it, and its law."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import augment
from m3i_jax.augment.distortion import Distortion, distorted, draw_distortion

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(16, 4, 5, 3))
IMAGES[:, 0, 0], IMAGES[:, 0, 1], IMAGES[:, 0, 2] = 0.4, (1.0, 0.0, 0.0), 0.0


def reference(image, brightness, contrast, saturation, hue, first):
    x = np.clip(image + brightness, 0, 1)
    x = np.clip(x * contrast, 0, 1) if first else x
    for place in np.ndindex(x.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*x[place])
        x[place] = colorsys.hsv_to_rgb((h + hue) % 1.0, min(s * saturation, 1.0), v)
    return x if first else np.clip(x * contrast, 0, 1)


def test_it_is_one_change_after_the_other():
    drawn = draw_distortion(jax.random.key(3), 16)
    found = jax.jit(distorted)(jnp.asarray(IMAGES, jnp.float32), drawn)
    for n in range(16):
        wanted = reference(IMAGES[n].copy(), *(float(field[n]) for field in drawn))
        np.testing.assert_allclose(found[n], wanted, atol=5e-6)
    still = Distortion(*(jnp.full(16, x) for x in (0.0, 1.0, 1.0, 0.0)), jnp.zeros(16, bool))
    np.testing.assert_allclose(distorted(jnp.asarray(IMAGES), still), IMAGES, atol=1e-6)


def test_half_of_the_samples_have_each_and_steps_are_whole():
    drawn = draw_distortion(jax.random.key(0), 20_000)
    for field, still, low, high in zip(drawn[:4], (0, 1, 1, 0), (-32 / 255, 0.5, 0.5, -0.1),
                                       (32 / 255, 1.5, 1.5, 17 / 180), strict=True):  # fmt: skip
        moved = np.asarray(field)[np.asarray(field) != still]
        assert low - 1e-6 <= moved.min() < low * 0.9 + high * 0.1
        assert low * 0.1 + high * 0.9 < moved.max() <= high + 1e-6
        assert abs(len(moved) / 20_000 - 0.5) < 0.03  # a 36th of the hues does not turn either
    np.testing.assert_allclose(drawn.hue * 180, np.round(drawn.hue * 180), atol=1e-4)
    assert abs(drawn.first.mean() - 0.5) < 0.02


def test_a_config_asks_for_it_by_a_share():
    images, key = jnp.asarray(IMAGES, jnp.float32), jax.random.key(1)
    off = dict(jitter=0.0, grayscale=0.0, blur=0.0)
    plain = augment.photometric(key, images, **off)
    np.testing.assert_array_equal(plain, images)
    some = augment.photometric(key, images, **off, distortion=0.5)
    changed = np.asarray((some != images).any((1, 2, 3)))
    assert 2 < changed.sum() < 14
    both = augment.photometric(key, images, distortion=0.0)
    np.testing.assert_array_equal(both, augment.photometric(key, images))
