"""Regularisers along directions: drawn by the key, weighed, of the input's codes."""

import jax
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import losses

Z = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)


@pytest.mark.parametrize("make, statistic", [
    (fw.sigreg, losses.epps_pulley),
    (fw.visreg, lambda z, a: losses.location_scale(z) + losses.sliced_wasserstein(z, a)),
])  # fmt: skip
def test_a_weight_times_the_statistic_along_directions_of_the_key(make, statistic):
    regularize, keys = make(0.3, slices=8), jax.random.split(jax.random.key(0))
    assert regularize.random and regularize.batchwise
    values = [float(regularize.score(Z, None, key)) for key in keys]
    right = [0.3 * float(statistic(Z, losses.directions(key, 4, 8))) for key in keys]
    np.testing.assert_allclose(values, right, rtol=1e-6)
    assert abs(values[0] - values[1]) > 1e-4
