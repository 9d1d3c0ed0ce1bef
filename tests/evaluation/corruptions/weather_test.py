"""Fog and snow, against a fractal that is made point by point and formulas in a loop."""

import numpy as np
import pytest
import scipy.ndimage

from m3i_jax.evaluation.corruptions import weather


def pointwise(rng, size, decay):
    """Midpoint displacement on a torus, one point at a time."""
    heights, step, spread = np.zeros((size, size)), size, 1e4
    while step > 1:
        half = step // 2
        for rows, columns in ((half, half), (0, half), (half, 0)):
            # The middles have corners around them, all others two of each.
            around = ((1, 1), (1, -1), (-1, 1), (-1, -1)) if rows == columns else (
                (1, 0), (-1, 0), (0, 1), (0, -1))  # fmt: skip
            count = size // step
            lots = rng.uniform(-spread, spread, (count, count))
            for i in range(count):
                for j in range(count):
                    y, x = i * step + rows, j * step + columns
                    near = [
                        heights[(y + a * half) % size, (x + b * half) % size] for a, b in around
                    ]
                    heights[y, x] = sum(near) / 4 + lots[i, j]
        step, spread = half, spread / decay**2
    return (heights - heights.min()) / (heights.max() - heights.min())


@pytest.mark.parametrize("side, size, decay", [(32, 32, 3.0), (20, 32, 1.5), (16, 16, 1.4)])
def test_plasma_is_midpoint_displacement(side, size, decay):
    made = weather.plasma(np.random.default_rng(1), side, decay)
    expected = pointwise(np.random.default_rng(1), size, decay)
    np.testing.assert_allclose(made, expected, atol=1e-12)
    assert made.min() == 0 and made.max() == 1


def test_fog_is_a_mean_with_the_clouds():
    x = 0.9 * np.random.default_rng(0).random((16, 12, 3))
    made = weather.fog(np.random.default_rng(2), x, 1.5, 2.0)
    clouds = pointwise(np.random.default_rng(2), 16, 2.0)[:16, :12, None]
    np.testing.assert_allclose(made, (x + 1.5 * clouds) * x.max() / (x.max() + 1.5), atol=1e-12)
    assert np.isfinite(weather.fog(np.random.default_rng(2), 0 * x, 1.5, 2.0)).all()


def test_without_flakes_snow_makes_an_image_pale():
    x = np.random.default_rng(0).random((16, 16, 3))
    made = weather.snow(np.random.default_rng(1), x, -9.0, 0.3, 2.0, 0.5, 4, 2.0, 0.7)
    gray = 0.299 * x[..., 0] + 0.587 * x[..., 1] + 0.114 * x[..., 2]
    pale = np.maximum(x, gray[..., None] * 1.5 + 0.5)
    np.testing.assert_allclose(made, 0.7 * x + 0.3 * pale, atol=1e-12)


def test_flakes_lie_on_both_halves_and_fall():
    x = np.zeros((64, 64, 3))
    made = weather.snow(np.random.default_rng(1), x, 0.1, 0.3, 1.0, 0.6, 10, 6.0, 1.0)
    np.testing.assert_allclose(made, made[::-1, ::-1], atol=1e-12)
    np.testing.assert_array_equal(made[..., 0], made[..., 1])
    # Of N(0.1, 0.3²) 4.8 % is above 0.6; blur keeps the sum, but at the border.
    flakes = np.random.default_rng(1).normal(0.1, 0.3, (64, 64))
    total = 2 * np.clip(np.where(flakes < 0.6, 0, flakes), 0, 1).sum()
    np.testing.assert_allclose(made[..., 0].sum(), total, rtol=0.15)
    steep, flat = (np.square(scipy.ndimage.sobel(made[..., 0], axis)).sum() for axis in (1, 0))
    assert steep > 2 * flat  # streaks go down, so edges are beside them
