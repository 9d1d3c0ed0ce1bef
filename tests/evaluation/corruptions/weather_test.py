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


IMAGE = np.random.default_rng(0).random((24, 20, 3))


def drops(seed, level, spread, sigma, least):
    """The liquid, by a Gaussian that is written out; behind the border is its nearest pixel."""
    x = np.random.default_rng(seed).normal(level, spread, (24, 20))
    reach = int(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        padded = np.pad(x, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        x = np.apply_along_axis(lambda row: np.convolve(row, taps, mode="valid"), axis, padded)
    return np.where(x < least, 0.0, x)


def test_mud_lies_over_the_image():
    made = weather.spatter(np.random.default_rng(3), IMAGE, 0.65, 0.1, 0.7, 0.69, 0.6, 1)
    on = drops(3, 0.65, 0.1, 0.7, 0.69) > 0
    free, brown = 0, np.array((63, 42, 20)) / 255
    for y in range(24):
        for x in range(20):
            near = on[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            if not near.any():  # a blur by .6 reaches two pixels
                np.testing.assert_array_equal(made[y, x], IMAGE[y, x])
                free += 1
            elif near.all() and near.size == 25:
                np.testing.assert_allclose(made[y, x], brown, atol=1e-12)
    assert 0 < free < 24 * 20 and abs(made - IMAGE).max() > 0.1


def test_water_adds_its_colour_where_drops_are_and_shows_their_relief():
    made = weather.spatter(np.random.default_rng(4), IMAGE, 0.65, 0.3, 1, 0.69, 0.5, 0)
    on = drops(4, 0.65, 0.3, 1, 0.69) > 0
    added = made - IMAGE
    np.testing.assert_allclose(added[~on], 0, atol=1e-12)
    colour = added / np.array((175, 238, 238)) * 255
    np.testing.assert_allclose(colour[..., 0], colour[..., 1], atol=1e-12)
    np.testing.assert_allclose(colour[..., 0], colour[..., 2], atol=1e-12)
    assert added.min() >= -1e-12 and colour.max() == pytest.approx(0.5)
    assert len(np.unique(colour[on].round(6))) > 10


def test_the_distance_is_from_the_nearest_rim():
    on = np.zeros((9, 9), bool)
    on[2:7, 2:7] = True
    rim = on.copy()
    rim[3:6, 3:6] = False
    places = np.argwhere(rim)
    far = [[np.hypot(*(places - (y, x)).T).min() for x in range(9)] for y in range(9)]
    mean = np.pad(far, 1, mode="reflect")
    mean = sum(mean[a : a + 9, b : b + 9] for a in range(3) for b in range(3)) / 9
    level = mean.astype(np.uint8)
    counts = np.array([(level <= v).sum() for v in range(256)])
    equal = np.rint(255 * (counts - counts[level.min()]) / (81 - counts[level.min()])).clip(0)[
        level
    ]
    padded = np.pad(equal, 1, mode="reflect")
    lit = sum(
        weather.RELIEF[a, b] * padded[a : a + 9, b : b + 9] for a in range(3) for b in range(3)
    ).clip(0, 255)
    padded = np.pad(lit, 1, mode="reflect")
    expected = sum(padded[a : a + 9, b : b + 9] for a in range(3) for b in range(3)) / 9
    np.testing.assert_allclose(weather._thickness(on), expected, atol=1e-9)


def test_no_drop_changes_nothing():
    for mud in (0, 1):
        made = weather.spatter(np.random.default_rng(0), IMAGE, -9.0, 0.1, 1, 0.7, 0.6, mud)
        np.testing.assert_array_equal(made, IMAGE)
