"""Errors of depth against formulas pixel by pixel, and crops against their published corners."""

import math

import numpy as np
import pytest

from m3i_jax.metrics import depth

RNG = np.random.default_rng(4)
TRUTH = RNG.uniform(0.5, 12, (40, 60)).astype(np.float32)
TRUTH[RNG.random(TRUTH.shape) < 0.4] = 0
PREDICTION = (np.maximum(TRUTH, 1) * np.exp(0.3 * RNG.normal(size=TRUTH.shape))).astype(np.float32)
CROP = (slice(3, 30), slice(10, 50))


def by_formula(prediction, truth, low, high, rows, columns):
    """Loops, and math's functions."""
    pairs = [
        (min(max(float(prediction[i, j]), low), high), float(truth[i, j]))
        for i in rows
        for j in columns
        if low < truth[i, j] < high
    ]
    mean = lambda f: math.fsum(f(p, g) for p, g in pairs) / len(pairs)  # noqa: E731
    log = lambda p, g: math.log(p) - math.log(g)  # noqa: E731
    return (
        *(mean(lambda p, g, k=k: max(p / g, g / p) < 1.25**k) for k in (1, 2, 3)),
        mean(lambda p, g: abs(p - g) / g),
        mean(lambda p, g: (p - g) ** 2 / g),
        math.sqrt(mean(lambda p, g: (p - g) ** 2)),
        math.sqrt(mean(lambda p, g: log(p, g) ** 2)),
        mean(lambda p, g: abs(math.log10(p) - math.log10(g))),
        math.sqrt(mean(lambda p, g: log(p, g) ** 2) - 0.5 * mean(log) ** 2),
    )


def test_errors_equal_the_formulas():
    found = depth.of_image(PREDICTION, TRUTH, crop=CROP)
    wanted = by_formula(PREDICTION, TRUTH, 1e-3, 10.0, range(3, 30), range(10, 50))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    wide = depth.of_image(PREDICTION, TRUTH, minimum=2, maximum=80)
    wanted = by_formula(PREDICTION, TRUTH, 2, 80.0, range(40), range(60))
    np.testing.assert_allclose(wide, wanted, rtol=1e-12)
    assert wide.delta1 < wide.delta2 < wide.delta3 < 1 and wide.rmse != found.rmse


def test_the_truth_has_no_error_and_a_scale_only_a_known_one():
    assert depth.of_image(TRUTH, TRUTH) == (1, 1, 1, *[0] * 6)
    twice = depth.of_image(2 * TRUTH, TRUTH, maximum=80)
    assert twice[:4] == pytest.approx((0, 0, 0, 1))
    assert twice.rmse_log == pytest.approx(math.log(2)) and twice.log10 == pytest.approx(0.30103)
    assert twice.silog == pytest.approx(math.log(2) / math.sqrt(2))


def test_a_set_is_the_mean_of_its_images_and_not_of_its_pixels():
    half = np.where(np.arange(60) < 30, TRUTH, 0)
    images = [depth.of_image(PREDICTION, t) for t in (TRUTH, half, TRUTH * 0)]
    assert images[2] is None
    np.testing.assert_allclose(depth.mean(images), np.mean(images[:2], axis=0), rtol=1e-15)
    pooled = np.sqrt((images[0].rmse ** 2 * 2 + images[1].rmse ** 2) / 3)
    assert depth.mean(images).rmse != pytest.approx(pooled, rel=1e-6)
    with pytest.raises(ValueError, match="no image has a depth"):
        depth.mean([None])


def test_crops_are_the_published_ones():
    """Rows 153 to 371 and columns 44 to 1197 of KITTI's 375 x 1242 by Garg's shares."""
    assert depth.garg(375, 1242) == (slice(153, 371), slice(44, 1197))
    assert depth.eigen(375, 1242) == (slice(124, 342), slice(44, 1197))
    assert depth.nyu(480, 640) == (slice(45, 471), slice(41, 601))
    with pytest.raises(ValueError, match="375 x 1242; the crop of NYU is of 480 x 640"):
        depth.nyu(375, 1242)
    inside = depth.counted(np.ones((375, 1242)), crop=depth.garg(375, 1242))
    assert inside.sum() == (371 - 153) * (1197 - 44) and not inside[152].any()
    ends = depth.counted(np.array([[1e-3, 10.0, 9.99, 2e-3]]))
    np.testing.assert_array_equal(ends, [[False, False, True, True]])


def test_a_prediction_beyond_the_range_is_moved_and_one_that_is_nan_is_refused():
    far = np.where(TRUTH > 5, np.inf, PREDICTION)
    near = np.where(TRUTH > 5, 10, PREDICTION)
    assert depth.of_image(far, TRUTH) == depth.of_image(near, TRUTH)
    broken = PREDICTION.copy()
    broken[TRUTH == 0] = np.nan  # where nothing is measured nobody looks
    assert depth.of_image(broken, TRUTH) == depth.of_image(PREDICTION, TRUTH)
    broken[np.unravel_index(TRUTH.argmax(), TRUTH.shape)] = np.nan
    with pytest.raises(ValueError, match="1 of .* predicted depths are NaN"):
        depth.of_image(broken, TRUTH, maximum=80)
