"""Pictures of a data set: each image where it belongs, whatever its shape."""

import functools

import numpy as np

from m3i_jax import data, pictures
from m3i_jax.analysis.survey import sheets
from m3i_jax.augment import photometric
from m3i_jax.data.views.crops import Crops
from m3i_jax.normalize import channels
from tests.data.survey.look_test import Pixels
from tests.faulty_folder import made


def tile(sheet, row, column, *, top=0):
    """The tile at a place of a sheet whose rows have captions."""
    y = top + pictures.PAD + row * (sheets.SIDE + pictures.LINE + pictures.PAD)
    x = pictures.PAD + column * (sheets.SIDE + pictures.PAD)
    return sheet[y : y + sheets.SIDE, x : x + sheets.SIDE]


def test_a_square_has_all_of_an_image_in_its_middle():
    square = sheets.squared(np.zeros((2, 4, 3), np.uint8), side=8)
    assert not square[2:6].any() and (square[[0, 1, 6, 7]] == 255).all()
    assert sheets.squared(np.zeros((1, 4000, 3), np.uint8)).shape == (sheets.SIDE, sheets.SIDE, 3)


def test_the_contact_sheet_has_every_class_and_shows_what_is_broken(tmp_path):
    source = data.source({"name": "image_folder", "root": str(made(tmp_path))}, split="train")
    sheet = sheets.contact_sheet(source)
    for place, index in enumerate((0, 1, 2, 3, 4, 5, 8, 9)):  # in order of classes
        np.testing.assert_array_equal(tile(sheet, 0, place), sheets.squared(source[index].image))
    assert all((tile(sheet, 1, place) == pictures.HIDDEN).all() for place in range(4))


def test_views_are_those_of_the_crops_with_augmented_ones_beside_them():
    rng = np.random.default_rng(0)
    source = Pixels(ValueError("x"), *rng.integers(0, 256, (2, 20, 30, 3), np.uint8))
    crops = Crops(size=16, views=("a",), local=1, local_size=8)
    grey = functools.partial(photometric, jitter=0, blur=0, grayscale=1, normalize=channels)
    sheet = sheets.augmented(source, crops, {"a": grey}, seed=3)
    assert sheet.shape[1] == pictures.PAD + 4 * (sheets.SIDE + pictures.PAD)
    for row in range(2):
        cut = crops(source[row + 1], np.random.default_rng((3, row))).images
        seen = [tile(sheet, row, column, top=pictures.LINE) for column in range(4)]
        np.testing.assert_array_equal(seen[1], sheets.squared(cut["a"]))
        np.testing.assert_array_equal(seen[2], sheets.squared(cut["l0"]))
        assert np.ptp(seen[3].astype(int), axis=-1).max() <= 1  # of rounding
    assert sheets.augmented(Pixels(ValueError("x")), crops, {}, seed=0) is None
