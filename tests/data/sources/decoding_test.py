"""From bytes to pixels: every mode and kind, and what broken bytes come to."""

import io

import numpy as np
import pytest
from PIL import Image

from m3i_jax.data.sources import decoding
from m3i_jax.data.sources.decoding import FORMATS, decode_image


def picture(mode="RGB", size=(20, 16)):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize(
    "data,expected",
    [
        (encoded(Image.fromarray(GREY)), GREY),
        (encoded(Image.fromarray(GREY.astype(np.uint16) * 257)), GREY),
        (encoded(Image.fromarray(GREY > 127)), np.where(GREY > 127, 255, 0)),
        (encoded(Image.fromarray(np.stack([GREY, GREY[::-1]], -1), "LA")), GREY),
        (encoded(Image.fromarray(GREY), "BMP"), GREY),
        (encoded(Image.fromarray(GREY), "GIF"), GREY),
        (encoded(Image.fromarray(GREY).convert("RGB"), "WEBP", lossless=True), GREY),
        (encoded(Image.fromarray(GREY).convert("P"), transparency=3), GREY),
        (encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"), GREY),
        (encoded(Image.fromarray(GREY).convert("RGB"), "TIFF", compression="tiff_lzw"), GREY),
    ],
    ids=["grey", "16-bit", "1-bit", "grey+alpha", "bmp", "gif", "webp", "palette+alpha", "16-bit "
         "tiff", "tiff"],
)  # fmt: skip
def test_every_mode_becomes_rgb(data, expected):
    image = decode_image(data)
    assert image.shape == (16, 16, 3) and image.dtype == np.uint8
    assert np.array_equal(image, np.repeat(expected[..., None], 3, axis=2))


def test_cmyk_and_rgba():
    cmyk = decode_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(cmyk.astype(int) - [255, 0, 0]).max() <= 3  # red, up to JPEG's loss
    rgba = decode_image(encoded(Image.new("RGBA", (8, 8), (10, 20, 30, 0))))
    assert (rgba == [10, 20, 30]).all()  # alpha is dropped


def test_a_tiff_of_floats_is_refused_and_an_avif_is_read_where_pillow_can():
    with pytest.raises(ValueError, match="floating-point"):
        decode_image(encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"))
    if "AVIF" in FORMATS:
        avif = decode_image(encoded(Image.new("RGB", (16, 16), (200, 100, 0)), "AVIF"))
        assert np.abs(avif.astype(int) - [200, 100, 0]).max() <= 3


def test_one_pixel_and_one_row():
    assert decode_image(encoded(picture(size=(1, 1)))).shape == (1, 1, 3)
    assert decode_image(encoded(picture(size=(4000, 1)), "JPEG")).shape == (1, 4000, 3)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_image(data) == [255, 0, 0]).all()


@pytest.mark.parametrize("tag", range(1, 9))
def test_exif_orientation_is_ignored_unless_asked_for(tag):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255  # one bright corner
    exif = Image.Exif()
    exif[274] = tag
    data = encoded(Image.fromarray(pixels), "PNG", exif=exif)
    assert np.array_equal(decode_image(data), pixels)
    corners = [(0, 0), (0, 5), (3, 5), (3, 0), (0, 0), (0, 3), (5, 3), (5, 0)]
    upright = decode_image(data, orientation=True)
    assert upright.shape[:2] == ((4, 6) if tag < 5 else (6, 4))
    assert (upright[corners[tag - 1]] == 255).all() and upright.sum() == 3 * 255


JPEG = encoded(picture(size=(64, 64)), "JPEG")


def test_mutated_files_never_do_worse_than_an_exception():
    rng = np.random.default_rng(0)
    seeds = [JPEG, encoded(picture()), encoded(picture(), "WEBP"), encoded(picture(), "GIF")]
    read = 0
    for n in range(600):
        data = bytearray(seeds[n % 4])
        for position in rng.integers(0, len(data), rng.integers(1, 8)):
            data[position] = rng.integers(256)
        try:
            image = decode_image(bytes(data), max_pixels=10**6)
        except Exception:
            continue
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        read += 1
    assert 0 < read < 600  # some are still images, so both ends were met


def test_a_size_that_no_image_has_is_refused():
    assert decoding.bounded(7) == 7
    for size, said in ((0, "is empty"), (decoding.MAX_BYTES + 1, "more than 268435456")):
        with pytest.raises(ValueError, match=said):
            decoding.bounded(size)


def test_what_is_wrong_is_said_of_the_record_and_shows_no_buffer():
    try:
        decode_image(b"<html>")
    except Exception as error:
        said = str(decoding.unreadable("a.tar: b.jpg", error))
    assert said.startswith(
        "cannot read 'a.tar: b.jpg': its content is no JPEG, PNG, WEBP, GIF, BMP"
    )


def test_a_jpeg_of_many_scans_or_headers_is_refused():
    good = encoded(picture(), "JPEG", progressive=True)
    last = good.rfind(b"\xff\xda")
    for bad, said in (
        (good[:last] + good[last:-2] * 200 + good[-2:], "scans, more than 100"),
        (good[:2] + b"\xff\xfe\0\2" * 3000 + good[2:], "more than 2000 segments"),
        (good[:2] + b"\xff" * 3000 + good[2:], "more than 2000 segments"),
    ):
        with pytest.raises(ValueError, match=said):
            decode_image(bad)
    few = good[:2] + b"\xff" * 9 + good[2:]
    assert (decode_image(few) == decode_image(good)).all()
