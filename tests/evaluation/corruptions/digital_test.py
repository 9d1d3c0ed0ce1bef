"""Light, colour, blocks, files and stretching, against scikit-image, Pillow and formulas."""

import io

import numpy as np
import pytest
import skimage.color
import skimage.transform
from PIL import Image

from m3i_jax.evaluation.corruptions import digital


def drawn(side=32, seed=0):
    """Colours, among them black, white and greys."""
    x = np.random.default_rng(seed).integers(0, 256, (side, side, 3))
    x[0, :3] = [[0, 0, 0], [255, 255, 255], [90, 90, 90]]
    return x / 255.0


@pytest.mark.parametrize("more", [0.05, 0.3, 0.5])
def test_brightness_is_that_of_hsv(more):
    hsv = skimage.color.rgb2hsv(drawn())
    hsv[..., 2] = np.clip(hsv[..., 2] + more, 0, 1)
    made = digital.brightness(None, drawn(), more)
    np.testing.assert_allclose(made, skimage.color.hsv2rgb(hsv), atol=1e-12)


@pytest.mark.parametrize("factor, more", [(0.3, 0), (0.1, 0), (2, 0.1), (20, 0.2)])
def test_saturation_is_that_of_hsv(factor, more):
    hsv = skimage.color.rgb2hsv(drawn())
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + more, 0, 1)
    made = digital.saturate(None, drawn(), factor, more)
    np.testing.assert_allclose(made, skimage.color.hsv2rgb(hsv), atol=1e-12)


def test_contrast_draws_each_channel_to_its_mean():
    x = drawn()
    made = digital.contrast(None, x, 0.3)
    for c in range(3):
        mean = x[..., c].mean()
        np.testing.assert_allclose(made[..., c], (x[..., c] - mean) * 0.3 + mean, atol=1e-12)


@pytest.mark.parametrize("quality", [7, 80])
def test_jpeg_is_that_of_a_file(quality):
    file, x = io.BytesIO(), drawn()
    Image.fromarray((x * 255).round().astype(np.uint8)).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file)) / 255.0
    np.testing.assert_array_equal(digital.jpeg_compression(None, x, quality), expected)


@pytest.mark.parametrize("factor, block", [(0.5, 2), (0.25, 4)])
def test_pixels_are_means_over_blocks(factor, block):
    x = drawn()
    made = digital.pixelate(None, x, factor)
    means = x.reshape(32 // block, block, 32 // block, block, 3).mean((1, 3))
    expected = means.repeat(block, 0).repeat(block, 1)
    np.testing.assert_allclose(made, expected, atol=1.01 / 255)  # rows and columns are rounded


def test_nothing_moves_without_strength():
    x = drawn()
    made = digital.elastic_transform(np.random.default_rng(0), x, 0.0, 0.1, 0.0)
    np.testing.assert_allclose(made, x, atol=1e-12)


def test_the_affine_map_moves_three_points_by_what_is_drawn():
    x = skimage.transform.resize(drawn(8), (60, 60, 3), order=1)  # smooth
    made = digital.elastic_transform(np.random.default_rng(4), x, 0.0, 0.1, 0.08)
    before = np.array([[50, 50], [50, 10], [10, 10]], float)  # row, column
    after = before + np.random.default_rng(4).uniform(-4.8, 4.8, (3, 2))
    back = skimage.transform.AffineTransform.from_estimate(after[:, ::-1], before[:, ::-1])
    expected = skimage.transform.warp(x, back, order=1, mode="reflect")
    np.testing.assert_allclose(made[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-10)


def test_displacements_are_smoothed_uniform_noise():
    side, strength, smooth = 200, 0.05, 0.03
    rows, columns = np.indices((side, side)) / side  # bilinear samples of a ramp are the places
    ramp = np.stack([rows, columns, rows], -1)
    made = digital.elastic_transform(np.random.default_rng(0), ramp, strength, smooth, 0.0)
    moved = (made - ramp)[20:-20, 20:-20]
    # Var of a Gaussian mean of U(−1, 1): 1/3 · Σw² = 1/3 · 1/(4πσ²).
    expected = strength * np.sqrt(1 / 3) / (2 * np.sqrt(np.pi) * smooth * side)
    np.testing.assert_allclose(moved[..., :2].std(), expected, rtol=0.15)  # some 500 spots
    np.testing.assert_allclose(moved[..., 0], moved[..., 2], atol=1e-12)
    steps = np.abs(np.diff(moved[..., 0], axis=0)).max()
    assert steps < expected  # neighbours move alike
