"""Blurs, against scikit-image and against their definitions pixel by pixel."""

import numpy as np
import pytest
import skimage.filters

from m3i_jax.evaluation.corruptions import blur


def drawn(height=24, width=31, seed=0):
    return np.random.default_rng(seed).random((height, width, 3))


def summed(image, kernel, mode):
    """Σ_d kernel(d)·x(i − d) in a loop."""
    reach, (height, width) = len(kernel) // 2, image.shape[:2]
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode=mode)
    made = np.zeros_like(image)
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            rows, columns = (slice(reach - d, reach - d + n) for d, n in ((y, height), (x, width)))
            made += kernel[y + reach, x + reach] * padded[rows, columns]
    return made


@pytest.mark.parametrize("sigma", [0.05, 0.7, 3.0])
def test_gaussian_blur_is_that_of_scikit_image(sigma):
    x = drawn()
    expected = skimage.filters.gaussian(x, sigma=sigma, channel_axis=-1)
    np.testing.assert_allclose(blur.gaussian_blur(None, x, sigma), expected, atol=1e-12)


@pytest.mark.parametrize("radius, sigma", [(0.3, 0.4), (1.5, 0.1), (3, 0.1), (8, 0.5), (10, 0.5)])
def test_defocus_is_the_mean_over_a_soft_disk(radius, sigma):
    side, taps = (17, 1) if radius <= 8 else (21, 2)
    middle = side // 2
    hard = [[(y - middle) ** 2 + (x - middle) ** 2 <= radius**2 for x in range(side)]
            for y in range(side)]  # fmt: skip
    hard = np.array(hard, np.float64) / np.sum(hard)
    line = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * sigma**2))
    soft = summed(hard[..., None], np.outer(line, line) / line.sum() ** 2, "reflect")[..., 0]
    kernel = blur.disk(radius, sigma)
    np.testing.assert_allclose(kernel, soft, atol=1e-15)
    x = drawn()
    expected = summed(x, kernel, "reflect")
    np.testing.assert_allclose(blur.defocus_blur(None, x, radius, sigma), expected, atol=1e-12)


def test_a_streak_is_half_a_gaussian_along_a_line():
    weights = np.exp(-0.5 * (np.arange(13) / 3.0) ** 2)
    weights /= weights.sum()
    kernel = blur.streak(6, 3.0, 0.0)
    np.testing.assert_allclose(kernel[13, 13:26], weights, rtol=1e-12)
    assert np.count_nonzero(kernel) == 13
    for angle in (0.3, -0.7, np.pi / 2):
        kernel = blur.streak(6, 3.0, angle)
        y, x = np.indices(kernel.shape) - 13
        far = (np.arange(13) * weights).sum()  # bilinear shares keep a weight's middle
        middle = [(kernel * y).sum(), (kernel * x).sum()]
        np.testing.assert_allclose(middle, [far * np.sin(angle), far * np.cos(angle)], atol=1e-12)
        np.testing.assert_allclose(kernel.sum(), 1.0, rtol=1e-12)


def test_motion_blur_draws_a_direction_and_averages_along_it():
    x = drawn()
    made = blur.motion_blur(np.random.default_rng(3), x, 5, 2.0, middle=-90.0)
    angle = np.deg2rad(-90.0 + np.random.default_rng(3).uniform(-45, 45))
    expected = summed(x, blur.streak(5, 2.0, angle), "edge")
    np.testing.assert_allclose(made, expected, atol=1e-12)


@pytest.mark.parametrize("reach, times", [(1, 1), (2, 1), (3, 2)])
def test_glass_takes_pixels_from_near_by(reach, times):
    side = 40
    rows, columns = np.indices((side, side)) / side
    x = np.stack([rows, columns, 0 * rows], -1)
    made = blur.glass_blur(np.random.default_rng(0), x, 1e-3, reach, times)
    moved = np.rint((made - x)[..., :2] * side).astype(int)
    assert moved.min() == -reach * times and moved.max() == (reach - 1) * times
    inner = moved[reach:-reach, reach:-reach].astype(float)
    if times == 1:  # uniform over 2·reach places; 1300 pixels
        np.testing.assert_allclose(inner.mean(), -0.5, atol=0.1)
        np.testing.assert_allclose(inner.var(), (4 * reach**2 - 1) / 12, rtol=0.1)


def test_glass_blurs_before_and_behind():
    x = np.zeros((21, 21, 1))
    x[10, 10] = 1.0
    made = blur.glass_blur(np.random.default_rng(0), x, 1.0, 1, 0)
    twice = skimage.filters.gaussian(x, sigma=np.sqrt(2.0), channel_axis=-1)
    np.testing.assert_allclose(made, twice, atol=2e-3)  # two sampled Gaussians are nearly one


@pytest.mark.parametrize("factor", [1.0, 1.07, 1.3, 2.5])
def test_zoomed_is_the_enlarged_middle(factor):
    side = 33
    kept = int(np.ceil(side / factor))
    x = drawn(side, side)
    top = (side - kept) // 2
    large = int(np.rint(kept * factor))
    trim = (large - side) // 2
    places = (np.arange(side) + trim) * (kept - 1) / max(large - 1, 1) + top  # ends meet ends
    low = np.minimum(np.floor(places).astype(int), side - 2)
    share = places - low
    lines = x[low] * (1 - share)[:, None, None] + x[low + 1] * share[:, None, None]
    expected = lines[:, low] * (1 - share)[None, :, None] + lines[:, low + 1] * share[None, :, None]
    np.testing.assert_allclose(blur.zoomed(x, factor), expected, atol=1e-12)


def test_zoom_blur_is_the_mean_of_the_image_and_its_zooms():
    x, factors = drawn(20, 20), (1.0, 1.1, 1.2)
    expected = (x + sum(blur.zoomed(x, f) for f in factors)) / 4
    np.testing.assert_allclose(blur.zoom_blur(None, x, factors), expected, atol=1e-15)
