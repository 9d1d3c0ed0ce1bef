"""Boxes and masks are drawn where they are."""

import numpy as np

from m3i_jax.analysis.boxes import TINT, drawn

GROUND = np.full((40, 60, 3), 100, np.uint8)
RED = (200, 0, 0)


def test_a_box_is_a_line_around_its_pixels():
    picture = drawn(GROUND, np.array([[2, 3, 8, 9]]), factor=2, colour=RED)
    there = (picture == RED).all(-1)
    expected = np.zeros((40, 60), bool)
    expected[4:16, 6:18] = True
    expected[5:15, 7:17] = False
    np.testing.assert_array_equal(there, expected)
    assert (picture[~there] == 100).all()


def test_a_mask_is_tinted_in_the_frame_of_its_box():
    mask = np.array([[[True, False], [True, True]]])
    picture = drawn(GROUND, np.array([[0, 0, 20, 20]]), factor=1, colour=RED, masks=mask)
    inside = np.round(TINT * np.float32(RED) + (1 - TINT) * 100)
    assert (np.abs(picture[5, 5] - inside) <= 1).all() and (picture[5, 15] == 100).all()
    assert (np.abs(picture[15, 15] - inside) <= 1).all()


def test_boxes_beyond_the_image_and_of_no_size_are_no_error():
    corners = np.array([[-5, -5, 3, 3], [10, 10, 10, 10], [30, 50, 99, 99], [50, 70, 60, 80]])
    masks = np.ones((4, 3, 3), bool)
    picture = drawn(GROUND, corners, factor=1, colour=RED, masks=masks, texts=list("abcd"))
    assert picture.shape == GROUND.shape and (picture[10, 10] == RED).all()
