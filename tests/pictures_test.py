import numpy as np
import pytest
from PIL import Image

from m3i_jax import normalize, pictures


def images(n, height=4, width=4, seed=0):
    return np.random.default_rng(seed).integers(0, 250, (n, height, width, 3)).astype(np.uint8)


def big(image, factor):
    return np.kron(image, np.ones((factor, factor, 1), np.uint8))


def test_unnormalise_undoes_the_normalisation():
    x = images(3)
    back = pictures.unnormalise(np.asarray(normalize.channels(x / np.float32(255))))
    np.testing.assert_array_equal(back, x)
    assert pictures.unnormalise(np.full((1, 3), 99.0)).tolist() == [[255, 255, 255]]


def test_as_uint8_rounds_clips_and_survives_nan():
    x = np.array([[-1.0, 0.5, 2.0], [np.nan, np.inf, 1 / 255]])
    assert pictures.as_uint8(x).tolist() == [[0, 128, 255], [0, 255, 1]]
    np.testing.assert_array_equal(pictures.as_uint8(images(2)), images(2))


@pytest.mark.parametrize("height, factor", [(32, 4), (48, 3), (100, 2), (128, 1), (224, 1)])
def test_enlarging_repeats_pixels(height, factor):
    x = images(1, height, 10)[0]
    np.testing.assert_array_equal(pictures.enlarge(x), big(x, factor))


def test_fit_is_exact_where_it_can_be():
    x = images(1, 6, 8)[0]
    np.testing.assert_array_equal(pictures.fit(x, 18), big(x, 3))
    assert pictures.fit(x, 15).shape == (15, 20, 3)
    assert pictures.fit(x, 3).shape == (3, 4, 3)


@pytest.mark.parametrize("text", [False, True])
def test_grid_puts_tiles_where_it_says(text):
    x = images(5, 4, 6)
    captions = ["caption"] * 5 if text else None
    picture = pictures.grid(x, columns=2, pad=3, captions=captions, height=8)
    line = pictures.LINE if text else 0
    assert picture.shape == (3 + 3 * (8 + line + 3), 3 + 2 * (12 + 3), 3)
    assert picture.dtype == np.uint8
    rest = picture.copy()
    for i, tile in enumerate(x):
        top, left = 3 + i // 2 * (8 + line + 3), 3 + i % 2 * (12 + 3)
        place = np.s_[top : top + 8, left : left + 12]
        np.testing.assert_array_equal(picture[place], big(tile, 2))
        rest[place] = 255
        if text:
            strip = picture[top + 8 : top + 8 + line, left : left + 12]
            assert strip.min() < 128  # something is written there ...
            rest[top + 8 : top + 8 + line, left : left + 12] = 255
    assert (rest == 255).all()  # ... and nowhere else


def test_captions_are_cut_off_where_they_do_not_fit():
    x = images(2, 64, 64)
    picture = pictures.grid(x, columns=2, captions=["a caption that is far too long", ""])
    gap = picture[:, 8 + 128 : 8 + 128 + 8]
    assert (gap == 255).all()


def test_grid_refuses_with_sentences():
    with pytest.raises(ValueError, match="cannot draw 0 images"):
        pictures.grid([], columns=2)
    with pytest.raises(ValueError, match="2 images have 1 captions"):
        pictures.grid(images(2), columns=2, captions=["x"])


def test_overlay_shades_hidden_cells_only():
    x = images(1, 8, 12)[0]
    mask = np.array([[True, False, True], [False, True, True]])
    shown = pictures.overlay(x, mask, strength=0.75)
    pixels = np.kron(mask, np.ones((4, 4), bool)).astype(bool)
    np.testing.assert_array_equal(shown[pixels], x[pixels])
    grey = x[~pixels].astype(float).mean(-1, keepdims=True)
    expected = 0.25 * grey + 0.75 * np.array(pictures.HIDDEN)
    assert abs(shown[~pixels] - expected).max() <= 0.51  # rounding to integers
    with pytest.raises(ValueError, match="3x3 cells does not divide 8x12"):
        pictures.overlay(x, np.ones((3, 3), bool))


@pytest.mark.parametrize("level", [0, 255])
def test_the_shade_is_seen_on_black_and_on_white(level):
    x = np.full((4, 4, 3), level, np.uint8)
    shown = pictures.overlay(x, np.zeros((1, 1), bool))
    assert abs(shown.astype(int) - level).min() > 80


def test_paste_keeps_what_was_visible():
    x, y = images(1)[0], images(1, seed=1)[0]
    mask = np.array([[True, False], [False, False]])
    pasted = pictures.paste(x, y, mask)
    np.testing.assert_array_equal(pasted[:2, :2], x[:2, :2])
    np.testing.assert_array_equal(pasted[2:], y[2:])
    np.testing.assert_array_equal(pasted[:2, 2:], y[:2, 2:])


def test_tables_need_columns_of_one_length():
    with pytest.raises(ValueError, match="equal lengths"):
        pictures.table({"x": images(2), "y": images(3)})


def test_saved_pictures_are_what_was_drawn(tmp_path):
    x = images(1, 9, 7)[0]
    path = pictures.save(x, tmp_path / "x.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), x)
