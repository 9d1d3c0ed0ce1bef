"""Noise has the moments that its formula says."""

import numpy as np
import pytest

from m3i_jax.evaluation.corruptions import noise

# 300 000 values: a deviation is known to 1/√(2n) = 0.13 %, so 1 % is eight deviations away.
LEVELS = np.linspace(0.2, 0.8, 5)


def flat(level):
    return np.full((400, 250, 3), level)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("level", LEVELS)
def test_mean_and_deviation_are_those_of_the_formula(level):
    x = flat(level)
    for made, deviation in (
        (noise.gaussian_noise(rng(), x, 0.26), 0.26),
        (noise.shot_noise(rng(), x, 12), np.sqrt(level / 12)),
        (noise.speckle_noise(rng(), x, 0.35), 0.35 * level),
    ):
        np.testing.assert_allclose(made.std(), deviation, rtol=0.01)
        np.testing.assert_allclose(made.mean(), level, atol=0.01 * deviation)


def test_shot_noise_counts_photons():
    made = noise.shot_noise(rng(), flat(0.5), 5) * 5
    np.testing.assert_allclose(made, made.round(), atol=1e-12)


def test_impulses_are_black_or_white_half_of_the_time_each():
    made = noise.impulse_noise(rng(), flat(0.5), 0.17)
    salt, pepper = (made == 1).mean(), (made == 0).mean()
    np.testing.assert_allclose([salt, pepper], 0.085, rtol=0.02)
    assert set(np.unique(made)) == {0.0, 0.5, 1.0}
    of_pixels = (made != 0.5).all(-1).mean()
    np.testing.assert_allclose(of_pixels, 0.17**3, rtol=0.1)  # channels are hit by themselves
