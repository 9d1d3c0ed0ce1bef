"""The file of a prepared image: copied, resized, or coded without a loss."""

import io

import numpy as np
import pytest
from PIL import Image

from m3i_jax.data.prepare.image import made
from m3i_jax.data.sources.decoding import decode_image
from tests.faulty_folder import encoded, picture


@pytest.mark.parametrize(
    "size, frame",
    [((400, 300), (120, 160)), ((300, 400), (160, 120)), ((1000, 121), (120, 992))],
)
def test_a_larger_image_is_resized_and_shrinks_antialiased(size, frame):
    image = np.asarray(picture(0, size=size))
    one = made(image, encoded(picture(0, size=size)), size=120, quality=95)
    assert one.frame == frame and not one.copied
    with Image.open(io.BytesIO(one.data)) as opened:
        assert opened.format == "JPEG" and opened.size == frame[::-1]
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255  # what is not antialiased becomes black or white
    grey = decode_image(made(stripes, None, size=128, quality=95).data)
    assert np.abs(grey.astype(int) - 127.5).max() < 12


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_small_one_keeps_its_bytes(format):
    file = encoded(picture(1), format)
    one = made(decode_image(file), file, size=30, quality=50)
    assert one == (file, (30, 40), True)
    assert made(decode_image(file), file, size=0, quality=50).data == file


def test_pixels_without_a_file_lose_nothing():
    image = np.asarray(picture(2))
    one = made(image, None, size=256, quality=95)
    assert not one.copied and np.array_equal(decode_image(one.data), image)


def test_a_file_that_its_source_turns_is_no_copy_of_what_it_shows():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encoded(picture(3), "PNG", exif=exif)
    turned = decode_image(file, orientation=True)
    one = made(turned, file, size=0, quality=95)
    assert not one.copied and np.array_equal(decode_image(one.data), turned)
    assert made(decode_image(file), file, size=0, quality=95).copied
