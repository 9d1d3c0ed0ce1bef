"""Bicubic resampling against numbers worked out by hand, and what any interpolation keeps."""

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn.resample import cubic_weights, resample, smooth_weights


def keys_(t, a=-0.75):
    """Keys' kernel, from the formula (1981)."""
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def naive(row, to):
    """One sample after another, edges repeated."""
    out = []
    for i in range(to):
        place = (i + 0.5) * len(row) / to - 0.5
        first = int(np.floor(place))
        taps = range(first - 1, first + 3)
        out.append(sum(keys_(place - t) * row[min(max(t, 0), len(row) - 1)] for t in taps))
    return np.array(out)


@pytest.mark.parametrize("size, to", [(14, 6), (4, 7), (5, 5), (3, 1), (1, 4), (14, 24)])
def test_weights_are_keys_kernel(size, to):
    row = np.random.default_rng(0).normal(size=size)
    np.testing.assert_allclose(cubic_weights(size, to) @ row, naive(row, to), atol=1e-13)
    np.testing.assert_allclose(cubic_weights(size, to).sum(1), 1, atol=1e-13)


def test_smooth_weights_are_the_kernel_over_wider_cells():
    assert (smooth_weights(5, 5) == np.eye(5)).all()
    for size, to in ((14, 6), (4, 7), (37, 16)):
        wide = max(size / to, 1)
        for row, weights in enumerate(smooth_weights(size, to)):
            place = (row + 0.5) * size / to - 0.5
            want = np.array([keys_((cell - place) / wide, -0.5) for cell in range(size)])
            np.testing.assert_allclose(weights, want / want.sum(), atol=1e-13)


def test_halfway_by_hand():
    # Doubling puts samples a quarter off; at 3/4 the four taps are a(t^3 - 5t^2 + 8t - 4), ...
    w = cubic_weights(6, 12)[5]  # place 2.25
    np.testing.assert_allclose(w[1:5], [-0.10546875, 0.87890625, 0.26171875, -0.03515625])


def test_resample_is_separable_and_keeps_its_own_grid():
    table = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(resample(jnp.asarray(table), (4, 5)), table)
    want = np.stack(
        [cubic_weights(4, 7) @ np.float64(table[..., d]) @ cubic_weights(5, 3).T for d in range(3)],
        axis=-1,
    )
    np.testing.assert_allclose(resample(jnp.asarray(table), (7, 3)), want, rtol=1e-5, atol=1e-6)
