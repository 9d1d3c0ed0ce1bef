"""Masks are values: equal where they draw alike, and know how much they show."""

from functools import partial

from m3i_jax import masks
from m3i_jax.framework import Masking, rest


def test_masking_counts_visible_cells():
    assert Masking(masks.random, 0.75).count((14, 14)) == 49


def test_masks_are_equal_where_they_draw_alike():
    make = lambda unit, hidden=0.5: Masking(partial(masks.units, unit=unit), hidden)  # noqa: E731
    assert make(2) == make(2) and len({make(2), make(2), make(3), make(2, 0.6)}) == 3
    assert make(2) != make(3) and make(2) != (2, 0.5)


def test_the_rest_of_a_mask_shows_what_that_hides():
    mask = Masking(masks.random, 0.75)
    other = rest(mask, "x")
    assert other.rest_of == "x" and other.count((4, 4)) == 16 - mask.count((4, 4)) == 12
