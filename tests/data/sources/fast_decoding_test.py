"""libjpeg-turbo gives Pillow's pixels, smaller ones where asked, and refuses what it refuses."""

import functools
import io

import numpy as np
import pytest
from PIL import Image

from m3i_jax.data import batches
from m3i_jax.data.sources.decoding import decode_image, decoder
from m3i_jax.data.sources.image_folder import image_folder
from m3i_jax.data.sources.subset import Subset
from m3i_jax.data.sources.unreadable import robust
from m3i_jax.data.views.crops import Crops
from tests.data.numbered import Numbered
from tests.data.views.resizing_test import photograph

fast_decoding = pytest.importorskip("m3i_jax.data.sources.fast_decoding")
simplejpeg = pytest.importorskip("simplejpeg")
OWN = decoder(None, orientation=False, max_pixels=100_000)


def encoded(kind="JPEG", mode="RGB", **how):
    file = io.BytesIO()
    Image.fromarray(photograph(149, 211)).convert(mode).save(file, kind, **how)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        encoded(quality=95),
        encoded(quality=40, subsampling="4:4:4", progressive=True),
        encoded(mode="L"),
        encoded(mode="CMYK"),
        encoded("PNG"),
    ],
)
def test_whole_images_are_pillows_to_the_bit(data):
    fast = fast_decoding.faster(OWN, lambda height, width: 1)
    np.testing.assert_array_equal(fast(data), decode_image(data))


@pytest.mark.parametrize("by", [2, 4, 8])
def test_smaller_images_are_means_of_the_whole(by):
    image = fast_decoding.faster(OWN, lambda height, width: by)(encoded(quality=95))
    assert image.shape == (-(-149 // by), -(-211 // by), 3)
    part = decode_image(encoded(quality=95))[: 149 // by * by, : 211 // by * by].astype(float)
    means = part.reshape(149 // by, by, 211 // by, by, 3).mean((1, 3))
    apart = np.abs(image[: 149 // by, : 211 // by] - means)
    assert apart.mean() < 4  # the transform's filter is close to a mean, not one


def test_broken_and_large_images_are_refused_in_the_same_words():
    fast = fast_decoding.faster(OWN, lambda height, width: 2)
    for data in (encoded()[:2000], encoded()[:40], b"\xff\xd8 no", b""):
        with pytest.raises(Exception) as own:
            OWN(data)
        with pytest.raises(type(own.value)) as other:
            fast(data)
        strip = lambda error: str(error.value).split(" at 0x")[0]  # noqa: E731
        assert strip(own) == strip(other)
    small = decoder(None, orientation=False, max_pixels=1000)
    with pytest.raises(ValueError, match="211 x 149 pixels, more than 1000"):
        fast_decoding.faster(small, lambda height, width: 2)(encoded())


def test_decoders_of_others_and_turned_photographs_are_left():
    own = functools.partial(np.frombuffer, dtype=np.uint8)
    turned = decoder(None, orientation=True, max_pixels=10)
    for decode in (own, turned):
        assert fast_decoding.faster(decode, lambda height, width: 1) is decode


def test_the_stream_of_a_folder_is_the_same_through_every_wrapper(tmp_path):
    """And of images large enough half as large, the same places of them."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jpg").write_bytes(encoded(quality=95))
    (tmp_path / "d.jpg").write_bytes(encoded()[:2000])

    def take(crops):
        source = Subset(robust(image_folder(str(tmp_path))), np.arange(4))
        with batches.batches(source, batch=8, seed=0, crops=crops, threads=2) as stream:
            return next(stream)[0]

    plain, fast = (take(Crops(size=60, decode=decode)) for decode in ("exact", "fast"))
    np.testing.assert_array_equal(plain.images["a"], fast.images["a"])
    how = dict(size=24, scale=(0.3, 1.0), ratio=(0.9, 1.1))
    assert Crops(**how).reduction(149, 211) == 2 and Crops(**how, local=1).reduction(149, 211) == 1
    plain, fast = (take(Crops(**how, decode=decode)) for decode in ("exact", "fast"))
    assert np.abs(plain.boxes["a"][:, :4] / 2 - fast.boxes["a"][:, :4]).max() <= 1
    assert np.abs(plain.images["a"].astype(int) - fast.images["a"]).mean() < 12


def test_where_there_is_nothing_to_decode_it_is_said(caplog):
    crops = Crops(size=4, scale=(0.3, 1.0), decode="fast")
    with batches.batches(Numbered(4), batch=2, seed=0, crops=crops) as stream:
        next(stream)
    assert "changes nothing: 'numbered' decodes no files" in caplog.text
