import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from m3i_jax import normalize, pictures
from m3i_jax.types import Box


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


def colour(i):
    return tuple(int(pictures.PALETTE[i][j : j + 2], 16) for j in (1, 3, 5))


def extent(picture, rgb):
    rows, columns = np.nonzero((picture == rgb).all(-1))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@pytest.mark.parametrize("flip", [0, 1])
def test_boxes_lie_on_the_original(flip):
    x = np.zeros((64, 80, 3), np.uint8)
    left = 30 if not flip else 80 - 30 - 40  # the same region in the mirrored frame
    box = np.array([[8, left, 48, 40, flip, 80]], np.float32)
    picture = pictures.boxes(x, box)
    assert picture.shape == (128, 160, 3)
    assert extent(picture, colour(0)) == (16, 60, 16 + 96, 60 + 80)
    inside = picture[16 + 20 : 16 + 96 - 3, 60 + 3 : 60 + 80 - 3]
    assert (inside == 0).all()
    np.testing.assert_array_equal(picture, pictures.boxes(x, Box(*box.T)))


def test_each_box_has_its_colour_and_tiny_ones_are_drawn():
    x = np.zeros((64, 64, 3), np.uint8)
    crops = np.array([[0, 0, 64, 64, 0, 64], [20, 20, 30, 30, 0, 64]], np.float32)
    picture = pictures.boxes(x, crops)
    assert extent(picture, colour(0)) == (0, 0, 128, 128)
    assert extent(picture, colour(1)) == (40, 40, 100, 100)
    pictures.boxes(x, np.array([[5, 5, 0.1, 0.1, 0, 64]]))


def test_views_has_a_column_for_whatever_is_given():
    a, b = images(3, 32, 32), images(3, 32, 32, seed=1)
    mask = np.random.default_rng(0).random((3, 8, 8)) < 0.5
    guess = images(3, 32, 32, seed=2)
    crops = [np.array([[0, 0, 40, 40, 0, 48], [8, 8, 40, 40, 1, 48]], np.float32)] * 3
    picture = pictures.views(
        a,
        b=b,
        mask=mask,
        mix=b,
        reconstruction=guess,
        original=images(3, 48, 48),
        crops=crops,
        captions=["one", "two", "three"],
    )
    step = 128 + pictures.LINE + 8
    assert picture.shape == (pictures.LINE + 8 + 3 * step, 8 + 6 * 136, 3)
    for row in range(3):
        top = pictures.LINE + 8 + row * step
        tiles = [picture[top : top + 128, 8 + i * 136 :][:, :128] for i in range(6)]
        np.testing.assert_array_equal(tiles[1], big(a[row], 4))
        np.testing.assert_array_equal(tiles[2], big(b[row], 4))
        np.testing.assert_array_equal(tiles[3], big(pictures.overlay(a[row], mask[row]), 4))
        np.testing.assert_array_equal(tiles[4], big(b[row], 4))
        np.testing.assert_array_equal(
            tiles[5], big(pictures.paste(a[row], guess[row], mask[row]), 4)
        )
        assert (tiles[0] == colour(0)).all(-1).any() and (tiles[0] == colour(1)).all(-1).any()
    assert pictures.views(a).shape == (pictures.LINE + 8 + 3 * 136, 8 + 136, 3)
    plain = pictures.views(a, reconstruction=guess)
    np.testing.assert_array_equal(plain[26:154, 8 + 136 : 8 + 136 + 128], big(guess[0], 4))


def test_tables_need_columns_of_one_length():
    with pytest.raises(ValueError, match="equal lengths"):
        pictures.table({"x": images(2), "y": images(3)})


def test_saved_pictures_are_what_was_drawn(tmp_path):
    x = images(1, 9, 7)[0]
    path = pictures.save(x, tmp_path / "x.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), x)


def test_figures_are_written_in_the_form_of_their_name(tmp_path):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context(pictures.STYLE):
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([1, 2], color=pictures.PALETTE[0])
    png = pictures.save_figure(figure, tmp_path / "x.png", title="Loss")
    assert Image.open(png).size == (400, 200)  # 200 dots an inch
    assert "<svg" in pictures.save_figure(figure, tmp_path / "x.svg").read_text()
    assert dict(matplotlib.rcParams) == before
