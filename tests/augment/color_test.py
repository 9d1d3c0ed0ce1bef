"""Colour changes against plain per-pixel Python, colorsys among it."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import augment
from m3i_jax.augment import color

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(24, 5, 6, 3))
IMAGES[:, 0, 0] = 0.4  # grey: no hue
IMAGES[:, 0, 1] = (1.0, 0.0, 0.0)
IMAGES[:, 0, 2] = (0.7, 0.7, 0.1)  # a tie of the two largest
IMAGES[:, 0, 3] = 0.0


def gray(image):
    return image @ np.array([0.2989, 0.587, 0.114])


def brightness(image, f):
    return np.clip(image * f, 0, 1)


def contrast(image, f):
    return np.clip(f * image + (1 - f) * gray(image).mean(), 0, 1)


def saturation(image, f):
    return np.clip(f * image + (1 - f) * gray(image)[..., None], 0, 1)


def hue(image, shift):
    out = np.zeros_like(image)
    for place in np.ndindex(image.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*image[place])
        out[place] = colorsys.hsv_to_rgb((h + shift) % 1.0, s, v)
    return out


OPS = (brightness, contrast, saturation, hue)


def orders():
    """All 24 orders."""
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 4, indexing="ij"), -1).reshape(-1, 4)
    return grid[[len(set(row)) == 4 for row in grid]].astype(np.int32)


def test_all_orders_equal_the_operations_one_after_the_other():
    order = orders()
    factors = np.concatenate([RNG.uniform(0.4, 1.6, (24, 3)), RNG.uniform(-0.5, 0.5, (24, 1))], 1)
    jitter = augment.Jitter(jnp.asarray(factors, jnp.float32), jnp.asarray(order))
    got = jax.jit(augment.color_jitter)(jnp.asarray(IMAGES, jnp.float32), jitter)
    for b in range(24):
        wanted = IMAGES[b]
        for op in order[b]:
            wanted = OPS[op](wanted, factors[b, op])
        # Chroma of a nearly grey pixel divides rounding errors, and hue multiplies them back.
        np.testing.assert_allclose(got[b], wanted, atol=5e-6)


@pytest.mark.parametrize("op", range(4))
def test_each_operation_alone(op):
    factors = np.tile([1.0, 1.0, 1.0, 0.0], (24, 1))
    factors[:, op] = RNG.uniform(-0.5, 0.5, 24) + (op != color.HUE)
    jitter = augment.Jitter(jnp.asarray(factors, jnp.float32), jnp.asarray(orders()))
    got = augment.color_jitter(IMAGES, jitter)
    wanted = [OPS[op](image, f) for image, f in zip(IMAGES, factors[:, op], strict=True)]
    np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_neutral_strengths_change_nothing():
    factors = jnp.tile(jnp.array([[1.0, 1.0, 1.0, 0.0]]), (24, 1))
    images = jnp.asarray(IMAGES, jnp.float32)
    for with_hue in (True, False):
        got = augment.color_jitter(images, augment.Jitter(factors, orders()), hue=with_hue)
        np.testing.assert_array_equal(got, images)


def test_without_hue_the_shifts_are_ignored():
    order = orders()
    factors = np.concatenate([RNG.uniform(0.4, 1.6, (24, 3)), np.zeros((24, 1))], 1)
    images = jnp.asarray(IMAGES, jnp.float32)
    with_zero = augment.color_jitter(images, augment.Jitter(jnp.asarray(factors), order))
    factors[:, 3] = 0.3
    without = augment.color_jitter(images, augment.Jitter(jnp.asarray(factors), order), hue=False)
    np.testing.assert_allclose(without, with_zero, atol=1e-6)


def test_draws_fill_their_ranges_in_every_order(key):
    jitter = augment.draw_jitter(key, 4000, brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1)
    low, high = np.array([0.6, 0.0, 0.8, -0.1]), np.array([1.4, 2.5, 1.2, 0.1])
    factors = np.asarray(jitter.factors)
    assert (factors >= low - 1e-6).all() and (factors <= high + 1e-6).all()
    np.testing.assert_allclose(factors.min(0), low, atol=0.01 * (high - low).max())
    np.testing.assert_allclose(factors.max(0), high, atol=0.01 * (high - low).max())
    # Means of a uniform variable over 4000 draws: four standard errors.
    assert (abs(factors.mean(0) - (low + high) / 2) < 4 * (high - low) / 12**0.5 / 63).all()
    seen, counts = np.unique(np.asarray(jitter.order), axis=0, return_counts=True)
    assert len(seen) == 24 and (abs(counts - 4000 / 24) < 5 * 13).all()


def test_an_impossible_hue_is_refused(key):
    with pytest.raises(ValueError, match="between 0 and 0.5 turns, not 0.7"):
        augment.draw_jitter(key, 2, hue=0.7)


def test_grayscale():
    got = augment.grayscale(IMAGES)
    np.testing.assert_allclose(got, gray(IMAGES)[..., None].repeat(3, -1), atol=1e-6)


def test_solarize_inverts_from_128_on():
    levels = np.arange(256, dtype=np.float32) / 255
    got = np.asarray(augment.solarize(levels)) * 255
    wanted = np.where(np.arange(256) < 128, np.arange(256), 255 - np.arange(256))
    np.testing.assert_allclose(got, wanted, atol=1e-4)
