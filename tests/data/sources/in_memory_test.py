"""Images that a program holds: whatever their kind, the same pixels, or a sentence."""

import numpy as np
import pytest
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.in_memory import in_memory

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GREYS = RNG.integers(0, 256, (3, 4, 4, 1), np.uint8)


def images(given):
    source = in_memory(given)
    return [source[i].image for i in range(len(source))]


def test_one_image_of_any_kind_has_the_same_pixels(tmp_path):
    Image.fromarray(LEVELS).save(tmp_path / "a.png")
    alpha = np.dstack([LEVELS, np.full((5, 7), 9, np.uint8)])
    kinds = [
        LEVELS,
        LEVELS / 255,
        LEVELS.astype(np.float32) / 255,
        alpha,
        Image.fromarray(LEVELS),
        Image.fromarray(alpha),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
    ]
    for kind in kinds:
        for given in (kind, [kind]):
            (image,) = images(given)
            np.testing.assert_array_equal(image, LEVELS)
            assert image.dtype == np.uint8
    assert len(images(kinds)) == len(kinds)


def test_grey_is_all_three_and_a_stack_is_several():
    for grey in images(GREYS):
        assert grey.shape == (4, 4, 3)
    np.testing.assert_array_equal(np.stack(images(GREYS)), np.repeat(GREYS, 3, axis=3))
    np.testing.assert_array_equal(images(GREYS[0, ..., 0])[0], np.repeat(GREYS[0], 3, axis=2))
    assert images([]) == [] and images(GREYS[:0]) == []


def test_it_names_its_images(tmp_path):
    source = in_memory([LEVELS, tmp_path / "a.png"])
    assert [source.where(0), source.where(1)] == ["image 0", str(tmp_path / "a.png")]
    assert list(source.captions()) == ["", ""] and source.classes == ()


@pytest.mark.parametrize(
    "given, sentence",
    [
        (7, "images are a int; expected arrays"),
        (b"abc", "images are a bytes"),
        ([LEVELS, 7], "a int among them"),
        ([GREYS], "an array of 3 images; give that alone"),
        (LEVELS.transpose(2, 0, 1), r"channels are last: images.transpose\(1, 2, 0\)"),
        (np.zeros((2, 3, 5, 5), np.uint8), r"images.transpose\(0, 2, 3, 1\)"),
        (np.zeros((4, 5, 6), np.uint8), r"shape \(4, 5, 6\), expected \(H, W\)"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (LEVELS.astype(np.int64), "image 0 is of int64, expected uint8"),
        (LEVELS.astype(np.float32), "expected 0 to 1, or uint8; divide by 255"),
        (LEVELS / 127.5 - 1, "normalisation is done inside"),
        (np.full((4, 4, 3), np.nan), "floats from nan to nan, expected 0 to 1, or uint8$"),
        ("{tmp}", "is a folder, expected a file"),
        ("{tmp}/none.png", "cannot read '.*none.png'"),
        ("{tmp}/text.png", "its content is no JPEG"),
    ],
)
def test_what_is_no_image_is_a_sentence(given, sentence, tmp_path):
    (tmp_path / "text.png").write_text("a text")
    given = given.format(tmp=tmp_path) if isinstance(given, str) else given
    with pytest.raises(ConfigError, match=sentence):
        images(given)
