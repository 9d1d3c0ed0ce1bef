"""Position codes against the formula in float64."""

import jax
import numpy as np
import pytest

from m3i_jax import geometry

WIDTH = 100


def reference(row, column, dim):
    """[sin rω, cos rω, sin cω, cos cω], one position, float64."""
    omega = [10000.0 ** (-k / (dim // 4)) for k in range(dim // 4)]
    parts = [[f(x * w) for w in omega] for x in (row, column) for f in (np.sin, np.cos)]
    return np.concatenate(parts)


def packed(*numbers):
    return np.array([[*numbers, WIDTH]], np.float32)


@pytest.mark.parametrize("grid", [(2, 3), (14, 14), (5, 1)])
def test_table_equals_the_formula_row_first(grid):
    table = geometry.sincos(grid, 16)
    wanted = [reference(a, b, 16) for a in range(grid[0]) for b in range(grid[1])]
    assert table.dtype == np.float32
    np.testing.assert_allclose(table, wanted, atol=2e-6)  # angles up to 13, float32


def test_golden_table_and_the_other_convention():
    # 2x3 grid, 8 wide: ω = 1, 0.01. MAE's table, column first, is this one with halves swapped.
    one, two = np.array([1.0, 0.01]), np.array([2.0, 0.02])
    codes = [np.r_[0, 0, 1, 1], np.r_[np.sin(one), np.cos(one)], np.r_[np.sin(two), np.cos(two)]]
    row_first = [np.r_[codes[a], codes[b]] for a in range(2) for b in range(3)]
    table = np.asarray(geometry.sincos((2, 3), 8))
    np.testing.assert_allclose(table, row_first, atol=1e-7)
    column_first = [np.r_[codes[b], codes[a]] for a in range(2) for b in range(3)]
    np.testing.assert_allclose(np.roll(table, 4, axis=1), column_first, atol=1e-7)
    assert not np.allclose(table, column_first, atol=1e-3)


def test_transposing_the_grid_transposes_the_code():
    tall = np.asarray(geometry.sincos((5, 3), 12)).reshape(5, 3, 2, 6)
    wide = np.asarray(geometry.sincos((3, 5), 12)).reshape(3, 5, 2, 6)
    np.testing.assert_array_equal(tall, wide.transpose(1, 0, 2, 3)[:, :, ::-1])


def test_any_position_can_be_coded():
    rows, columns = np.array([[0.5, -3.25]]), np.array([[7.125, 2.0]])
    code = geometry.sincos_at(rows, columns, 8)
    assert code.shape == (1, 2, 8)
    np.testing.assert_allclose(code[0, 1], reference(-3.25, 2.0, 8), atol=1e-6)


def test_relative_code_of_identical_views_is_the_absolute_one():
    box = packed(3, 9, 40, 60, 1)
    code = geometry.relative_sincos(box, box, (4, 6), 16)
    assert code.shape == (1, 24, 32)
    np.testing.assert_array_equal(code[0, :, :16], geometry.sincos((4, 6), 16))
    zero = np.tile(np.r_[np.zeros(4), np.ones(4)], 2)
    np.testing.assert_array_equal(code[0, :, 16:], np.tile(zero, (24, 1)))


def test_relative_code_of_a_mirrored_view_runs_backwards():
    source, target = packed(3, 10, 32, 64, 0), packed(3, WIDTH - 10 - 64, 32, 64, 1)
    code = np.asarray(geometry.relative_sincos(source, target, (2, 4), 8)).reshape(2, 4, 16)
    table = np.asarray(geometry.sincos((2, 4), 8)).reshape(2, 4, 8)
    np.testing.assert_array_equal(code[..., :8], table[:, ::-1])


@pytest.mark.parametrize("flip", [0, 1])
def test_relative_code_equals_the_formula(flip):
    source, target = packed(10, 20, 40, 50, 0), packed(30, 45, 20, 30, flip)
    grid, dim = (3, 4), 16
    code = np.asarray(geometry.relative_sincos(source, target, grid, dim))[0]
    left = (WIDTH - 20 - 45) / 50 if flip else (45 - 20) / 50
    sign = -1 if flip else 1
    wanted = []
    for a in range(grid[0]):
        for b in range(grid[1]):
            r = 0.5 * (a + 0.5) + grid[0] * 0.5 - 0.5
            c = sign * 0.6 * (b + 0.5) + grid[1] * left - 0.5
            scale = reference(10 * np.log(0.5), 10 * np.log(0.6), dim)
            wanted.append(np.r_[reference(r, c, dim), scale])
    np.testing.assert_allclose(code, wanted, atol=5e-6)  # angles up to 7 from rounded positions


def test_codes_are_float32_and_can_be_jitted():
    box = packed(0, 0, 8, 8, 0)
    code = jax.jit(lambda a, b: geometry.relative_sincos(a, b, (2, 2), 8))(box, box)
    assert code.dtype == np.float32


def test_width_has_to_fit_two_axes():
    with pytest.raises(ValueError, match="multiple of 4 .* not 10"):
        geometry.sincos((2, 2), 10)
    with pytest.raises(ValueError, match="multiple of 4"):
        geometry.sincos_at(np.zeros(2), np.zeros(2), 6)
