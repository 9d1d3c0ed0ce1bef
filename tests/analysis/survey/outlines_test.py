"""Outlines of crops lie where the crops were cut, in the original's own frame."""

import numpy as np
import pytest
from PIL import ImageColor

from m3i_jax.analysis.survey.outlines import outlined
from m3i_jax.plotting import PALETTE
from m3i_jax.types import Box


def extent(picture, number):
    """Top, left, bottom, right of what has the colour of a crop."""
    rows, columns = np.nonzero((picture == ImageColor.getrgb(PALETTE[number])).all(-1))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@pytest.mark.parametrize("flip", [0, 1])
def test_a_crop_of_the_mirrored_image_lies_where_its_content_is(flip):
    image = np.zeros((64, 80, 3), np.uint8)
    left = 30 if not flip else 80 - 30 - 40  # the same region in the mirrored frame
    box = np.array([[8, left, 48, 40, flip, 80]], np.float32)
    picture = outlined(image, box, names="a", height=128)
    assert picture.shape == (128, 160, 3)
    assert extent(picture, 0) == (16, 60, 16 + 96, 60 + 80)
    assert not picture[16 + 20 : 16 + 96 - 3, 60 + 3 : 60 + 80 - 3].any()
    np.testing.assert_array_equal(picture, outlined(image, Box(*box.T), names="a", height=128))


def test_each_crop_has_its_colour_and_tiny_ones_are_drawn():
    image = np.zeros((64, 64, 3), np.uint8)
    crops = np.array([[0, 0, 64, 64, 0, 64], [20, 20, 30, 30, 0, 64]], np.float32)
    picture = outlined(image, crops, names="ab", height=128)
    assert extent(picture, 0) == (0, 0, 128, 128) and extent(picture, 1) == (40, 40, 100, 100)
    outlined(image, np.array([[5, 5, 0.1, 0.1, 0, 64]]), names="a", height=128)
