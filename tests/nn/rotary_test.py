"""Rotations as complex numbers in float64, and what they are for: scores know offsets alone."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax.nn import rotary


def test_angles_of_a_grid_by_the_formula():
    for kind, coordinate, frequency in (
        ("dinov3", lambda i, n: (2 * i + 1) / n - 1, lambda i: 2 * np.pi / 100.0 ** (4 * i / 8)),
        ("eva02", lambda i, n: 16 * i / n, lambda i: 100.0 ** (-4 * i / 8)),
        ("capi", lambda i, n: i / (n - 1), lambda i: 14 * np.pi / 100.0**i),
    ):
        by = turning(kind, (2, 3))
        assert by.cos.shape == by.sin.shape == (1, 6, 8) and by.cos.dtype == np.float32
        for cell, (row, column) in enumerate(np.ndindex(2, 3)):
            c = coordinate(row, 2), coordinate(column, 3)
            a = np.array([x * frequency(i) for x in c for i in range(2)])
            want = {
                "dinov3": np.concatenate([a, a]),
                "eva02": np.repeat(a, 2),
                "capi": np.concatenate([a[:2], a[:2], a[2:], a[2:]]),
            }[kind]
            np.testing.assert_allclose(by.cos[0, cell], np.cos(want), atol=2e-5)
            np.testing.assert_allclose(by.sin[0, cell], np.sin(want), atol=2e-5)


def turning(kind, grid, index=None, *, registers=0, class_token=False, dim=8, base=100.0):
    first = dict(registers=registers, class_token=class_token)
    return rotary.of_tokens(kind, grid, index, dim=dim, base=base, **first)


def test_class_token_and_registers_stay_but_capis_registers_lie_around_what_is_seen():
    index = jnp.array([[0, 1], [4, 5]])  # of 2 x 3: the first two of row 0, the last two of row 1
    for kind in ("dinov3", "eva02"):
        by = turning(kind, (2, 3), index, registers=4, class_token=True)
        np.testing.assert_array_equal(by.cos[:, :5], 1)
        np.testing.assert_array_equal(by.sin[:, :5], 0)
        np.testing.assert_array_equal(by.cos[:, 5:], turning(kind, (2, 3)).cos[0][index])
    by = turning("capi", (2, 3), index, registers=4)
    corners = np.array([[(0, 0), (0, 0), (0, 0.5), (0, 0.5)], [(1, 0.5), (1, 0.5), (1, 1), (1, 1)]])
    want = 14 * np.pi * corners[..., None] / np.array([1, 100.0])
    want = np.repeat(want[..., None, :], 2, -2).reshape(2, 4, 8)
    np.testing.assert_allclose(by.sin[:, :4], np.sin(want), atol=2e-5)
    np.testing.assert_allclose(rotary.edges(8)[[0, 1, 3, 5, 7]],
                               [(0, 0), (0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)])  # fmt: skip


def test_channels_are_turned_as_complex_numbers(key):
    x = jax.random.normal(key, (2, 6, 2, 3, 8))
    angles = np.arccos(np.clip(turning("dinov3", (2, 3)).cos[0, :, :4], -1, 1))
    by = rotary.rotation(angles[None])
    got = np.asarray(rotary.rotated(x, by), np.float64)
    wide = np.asarray(x, np.float64)
    turned = (wide[..., :4] + 1j * wide[..., 4:]) * np.exp(1j * np.float64(angles))[
        None, :, None, None
    ]
    np.testing.assert_allclose(got, np.concatenate([turned.real, turned.imag], -1), atol=2e-6)
    pairs = rotary.rotated(x, rotary.rotation(angles[None], kind="eva02"))
    turned = (wide[..., 0::2] + 1j * wide[..., 1::2]) * np.exp(1j * np.float64(angles))[
        None, :, None, None
    ]
    want = np.stack([turned.real, turned.imag], -1).reshape(wide.shape)
    np.testing.assert_allclose(pairs, want, atol=2e-6)
    # Rounded once where the compute dtype is narrow.
    half = rotary.rotated(x.astype(jnp.bfloat16), by)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float64(half), got, atol=0.05)


def test_equal_tokens_score_by_their_offset_and_an_angle_of_0_turns_nothing(key):
    x = jnp.broadcast_to(jax.random.normal(key, (1, 1, 1, 1, 8)), (1, 12, 1, 1, 8))
    q = np.asarray(rotary.rotated(x, turning("dinov3", (3, 4), base=10.0)))
    scores = (q[0, :, 0, 0] @ q[0, :, 0, 0].T).reshape(3, 4, 3, 4)
    np.testing.assert_allclose(scores[0, 0, 1, 2], scores[1, 1, 2, 3], rtol=1e-5)
    assert abs(scores[0, 0, 1, 2] - scores[0, 0, 2, 1]) > 1e-3
    still = rotary.rotation(np.zeros((1, 12, 4), np.float32))
    np.testing.assert_array_equal(rotary.rotated(x, still), x)
