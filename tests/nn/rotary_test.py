"""Rotations as complex numbers in float64, and what they are for: scores know offsets alone."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax.nn import rotary


def test_angles_of_a_grid_by_the_formula():
    angles = rotary.axial((2, 3), 8, base=100.0)
    assert angles.shape == (6, 4) and angles.dtype == np.float32
    for cell, (row, column) in enumerate(np.ndindex(2, 3)):
        c = (2 * row + 1) / 2 - 1, (2 * column + 1) / 3 - 1
        want = [2 * np.pi * x / 100.0 ** (4 * i / 8) for x in c for i in range(2)]
        np.testing.assert_allclose(angles[cell], want, rtol=1e-6, atol=1e-7)


def test_channels_are_turned_as_complex_numbers(key):
    x = jax.random.normal(key, (2, 6, 2, 3, 8))
    angles = rotary.axial((2, 3), 8, base=100.0)
    by = rotary.rotation(angles[None])
    got = np.asarray(rotary.rotated(x, by), np.float64)
    wide = np.asarray(x, np.float64)
    turned = (wide[..., :4] + 1j * wide[..., 4:]) * np.exp(1j * np.float64(angles))[
        None, :, None, None
    ]
    np.testing.assert_allclose(got, np.concatenate([turned.real, turned.imag], -1), atol=2e-6)
    # Rounded once where the compute dtype is narrow.
    half = rotary.rotated(x.astype(jnp.bfloat16), by)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float64(half), got, atol=0.05)


def test_equal_tokens_score_by_their_offset_and_an_angle_of_0_turns_nothing(key):
    x = jnp.broadcast_to(jax.random.normal(key, (1, 1, 1, 1, 8)), (1, 12, 1, 1, 8))
    q = np.asarray(rotary.rotated(x, rotary.rotation(rotary.axial((3, 4), 8, base=10.0)[None])))
    scores = (q[0, :, 0, 0] @ q[0, :, 0, 0].T).reshape(3, 4, 3, 4)
    np.testing.assert_allclose(scores[0, 0, 1, 2], scores[1, 1, 2, 3], rtol=1e-5)
    assert abs(scores[0, 0, 1, 2] - scores[0, 0, 2, 1]) > 1e-3
    still = rotary.rotation(np.zeros((1, 12, 4), np.float32))
    np.testing.assert_array_equal(rotary.rotated(x, still), x)
