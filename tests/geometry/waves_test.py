"""Sine positions in float64, and beside those that DETR's code has, in a loop."""

import math

import numpy as np
import pytest

from m3i_jax import geometry


def one(share, number, dim, temperature):
    """The number-th of the dim numbers, as DETR's code counts them."""
    angle = 2 * math.pi * share / temperature ** (2 * (number // 2) / dim)
    return math.cos(angle) if number % 2 else math.sin(angle)


@pytest.mark.parametrize("temperature", [10_000.0, 20.0])
def test_waves_one_by_one(temperature):
    shares = np.float32([[0.0, 0.3], [0.75, 1.0]])
    got = geometry.waves(shares, 6, temperature=temperature)
    want = np.zeros((2, 2, 6))
    for i, j, k in np.ndindex(want.shape):
        want[i, j, k] = one(float(shares[i, j]), k, 6, temperature)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_cells_count_from_one_and_rows_come_first():
    got = np.asarray(geometry.grid_waves((3, 2), 8)).reshape(3, 2, 8)
    part = np.float32([[3 / 5, 2 / 4], [1, 1]])
    padded, _ = np.asarray(geometry.grid_waves((5, 4), 8, part=part)).reshape(2, 5, 4, 8)
    np.testing.assert_allclose(padded[:3, :2], got, atol=1e-5)
    for i, j, k in np.ndindex(got.shape):
        share = (i + 1) / (3 + 1e-6) if k < 4 else (j + 1) / (2 + 1e-6)
        assert abs(got[i, j, k] - one(share, k % 4, 4, 10_000.0)) < 1e-6


def test_widths_that_have_no_pairs():
    with pytest.raises(ValueError, match="not 5 numbers"):
        geometry.waves(np.zeros(1, np.float32), 5)
    with pytest.raises(ValueError, match="multiple of 4 wide .two axes., not 6"):
        geometry.grid_waves((2, 2), 6)
