"""Pictures within the page: the same pixels where they fit, smaller files where they do not."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from m3i_jax import pictures
from m3i_jax.analysis.report import inline


def opened(uri):
    kind, _, content = uri.partition(";base64,")
    return kind, len(content) * 3 // 4, Image.open(io.BytesIO(base64.b64decode(content)))


def noise(*size):
    return np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)


def test_a_small_picture_keeps_every_pixel(tmp_path):
    path = pictures.save(noise(20, 30), tmp_path / "a.png")
    uri, size = inline.file(path, most=10_000)
    kind, _, image = opened(uri)
    assert kind == "data:image/png" and size == (30, 20)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), noise(20, 30))
    np.testing.assert_array_equal(np.asarray(opened(inline.png(noise(3, 2)))[2]), noise(3, 2))


@pytest.mark.parametrize("most", [40_000, 9_000])
def test_a_large_picture_is_coded_anew_within_its_bytes(most, tmp_path):
    path = pictures.save(noise(300, 400), tmp_path / "a.png")
    assert path.stat().st_size > 10 * most // 2
    uri, size = inline.file(path, most=most)
    kind, bytes_, image = opened(uri)
    assert (
        bytes_ <= most + 2 and size == (400, 300) and kind in ("data:image/webp", "data:image/jpeg")
    )
    assert image.width / image.height == pytest.approx(4 / 3, abs=0.02)


def test_a_wide_picture_is_made_as_wide_as_screens_are(tmp_path):
    path = pictures.save(np.zeros((10, 3000, 3), np.uint8), tmp_path / "a.png")
    assert inline.file(path, most=100_000)[1] == (inline.SIDE, 5)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_picture_is_a_sentence(content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match="."):
        inline.file(tmp_path / "a.png", most=1000)
    with pytest.raises(ValueError, match="No such file"):
        inline.file(tmp_path / "b.png", most=1000)
    cut = pictures.save(noise(50, 50), tmp_path / "cut.png").read_bytes()[:2000]
    (tmp_path / "cut.png").write_bytes(cut)
    with pytest.raises(ValueError, match="."):
        inline.file(tmp_path / "cut.png", most=1000)


def test_a_picture_that_has_changed_is_read_again(tmp_path):
    path = pictures.save(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.png")
    first = inline.file(path, most=1000)
    pictures.save(noise(4, 4), path)
    assert inline.file(path, most=1000) != first
