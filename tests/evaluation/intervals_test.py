"""Wilson's interval is where the score test just does not reject; a mean has a normal one."""

import math

import numpy as np
import pytest
import scipy.stats

from m3i_jax.evaluation.intervals import Z, mean_of_shares, of_mean, student, wilson


@pytest.mark.parametrize("right, count", [(0, 1), (1, 1), (3, 10), (83, 360), (9999, 10000)])
def test_its_ends_are_the_shares_that_the_score_test_just_accepts(right, count):
    share = right / count
    low, high = wilson(share, count)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:  # |p − p₀| = z √(p₀(1−p₀)/n)
            assert abs(share - end) == pytest.approx(Z * math.sqrt(end * (1 - end) / count))
    assert (low > 0) == (right > 0) and (high < 1) == (right < count)


def test_a_published_example():
    # Newcombe 1998, Table I, 81 of 263: 0.2553 to 0.3662; https://doi.org/10.1002/(SICI)1097-0258
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize("share, count", [(0.5, 0), (1.1, 5), (-0.1, 5), (float("nan"), 5)])
def test_what_is_no_share_is_refused(share, count):
    with pytest.raises(ValueError, match="is no share"):
        wilson(share, count)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    x = np.random.default_rng(0).normal(2.0, 3.0, 500)
    expected = scipy.stats.norm.interval(0.95, x.mean(), scipy.stats.sem(x))
    np.testing.assert_allclose(of_mean(x), expected, rtol=1e-12)
    assert of_mean(np.array([4.0])) == (4.0, 4.0)


def test_the_interval_of_a_mean_over_classes_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    shares, counts = np.array([0.9, 0.6, 0.3]), np.array([20, 50, 30])
    inside = 0
    for _ in range(2000):
        low, high = mean_of_shares(rng.binomial(counts, shares), counts)
        inside += low <= shares.mean() <= high
    assert abs(inside / 2000 - 0.95) < 0.015  # three standard deviations of 2000 draws
    low, high = mean_of_shares(np.array([5, 5]), np.array([5, 5]))
    assert 0.6 < low < 1 and high == 1.0


def test_students_interval_is_scipys():
    values = [0.31, 0.42, 0.37, 0.35]
    error = scipy.stats.sem(values)
    expected = scipy.stats.t.interval(0.95, 3, loc=np.mean(values), scale=error)
    assert student(values) == pytest.approx(expected, rel=1e-12)
    low, high = student([0.99, 0.91])  # ± .51, and no share is above 1
    assert (low, high) == (pytest.approx(0.95 - 0.508248, abs=1e-6), 1.0)
    with pytest.raises(ValueError, match="1 values have no spread"):
        student([0.5])
