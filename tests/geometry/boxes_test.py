"""Relative geometry, checked on an image whose pixels hold their own coordinates."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3i_jax.geometry import boxes
from m3i_jax.types import Box

HEIGHT, WIDTH = 90, 120


def packed(top, left, height, width, flip):
    return np.array([[top, left, height, width, flip, WIDTH]], np.float32)


def view_of_coordinates(box, grid):
    """Mean (y, x) of every token of a view: mirror, then cut, as the host does."""
    y, x = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    image = np.stack([y, x], -1).astype(np.float64)
    top, left, height, width, flip, _ = box[0].astype(int)
    image = image[:, ::-1] if flip else image
    cut = image[top : top + height, left : left + width]
    h, w = grid
    return cut.reshape(h, height // h, w, width // w, 2).mean((1, 3))


def along(table, position, axis):
    """Reads a table that is linear along `axis` at a fractional position, also beyond its ends."""
    first, second = np.take(table, 0, axis), np.take(table, 1, axis)
    return first + position * (second - first)


@pytest.mark.parametrize("flips", list(itertools.product([0, 1], [0, 1])))
@pytest.mark.parametrize("grids", [((4, 4), (4, 4)), ((2, 6), (2, 6)), ((4, 4), (3, 5))])
def test_positions_agree_with_an_image_of_its_own_coordinates(flips, grids):
    source_grid, grid = grids
    source = packed(12, 20, 24, 36, flips[0])
    target = packed(30, 7, 36, 60, flips[1])
    r, c = boxes.target_tokens(source, target, grid, source_grid=source_grid)
    seen = view_of_coordinates(source, source_grid)
    wanted = view_of_coordinates(target, grid)
    y = along(seen[:, 0, 0], np.asarray(r[0], np.float64), 0)
    x = along(seen[0, :, 1], np.asarray(c[0], np.float64), 0)
    # Exact up to float32 rounding of positions times a token's size in pixels.
    np.testing.assert_allclose(y, wanted[:, 0, 0], atol=1e-4)
    np.testing.assert_allclose(x, wanted[0, :, 1], atol=1e-4)


@pytest.mark.parametrize("flip", [0, 1])
def test_identical_boxes_give_the_plain_grid_exactly(flip):
    box = packed(13, 29, 37, 53, flip)
    r, c = boxes.target_tokens(box, box, (5, 7))
    np.testing.assert_array_equal(r, np.arange(5.0)[None])
    np.testing.assert_array_equal(c, np.arange(7.0)[None])


def test_the_same_region_mirrored_runs_backwards_exactly():
    source, target = packed(10, 20, 32, 64, 0), packed(10, WIDTH - 20 - 64, 32, 64, 1)
    for one, two in [(source, target), (target, source)]:
        r, c = boxes.target_tokens(one, two, (4, 8))
        np.testing.assert_array_equal(r, np.arange(4.0)[None])
        np.testing.assert_array_equal(c, 7.0 - np.arange(8.0)[None])


def test_relation_by_hand():
    to = boxes.relation(packed(10, 20, 40, 50, 0), packed(30, 45, 20, 100, 0))
    np.testing.assert_allclose([x[0] for x in to], [0.5, 0.5, 0.5, 2.0, 0.0])
    to = boxes.relation(packed(10, 20, 40, 50, 1), packed(30, 45, 20, 100, 0))
    np.testing.assert_allclose([x[0] for x in to], [0.5, (120 - 20 - 45) / 50, 0.5, 2.0, 1.0])


def test_a_box_and_its_packed_form_are_the_same():
    source, target = packed(1, 2, 30, 40, 1), packed(5, 6, 50, 60, 0)
    one = boxes.target_tokens(source, target, (3, 4))
    two = boxes.target_tokens(Box.of(source), Box(*jnp.asarray(target[0])[:, None]), (3, 4))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


box_numbers = st.tuples(
    st.integers(0, 40), st.integers(0, 40), st.integers(8, 50), st.integers(8, 80), st.booleans()
)


@settings(max_examples=20, deadline=None)
@given(box_numbers, box_numbers)
def test_going_there_and_back_is_the_identity(first, second):
    a, b = packed(*first), packed(*second)
    there, back = (boxes.relation(*pair) for pair in [(a, b), (b, a)])
    v, u = 0.3, 0.8
    sign = -1.0 if bool(there.flip[0]) else 1.0
    y, x = there.top + there.height * v, there.left + sign * there.width * u
    # Sizes differ by up to a factor of 10, offsets by up to 15: 1e-6 relative grows to 1e-4.
    np.testing.assert_allclose(back.top + back.height * y, v, atol=1e-4)
    np.testing.assert_allclose(back.left + sign * back.width * x, u, atol=1e-4)
