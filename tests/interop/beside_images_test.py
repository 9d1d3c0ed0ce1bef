"""Processors' files; that the pixels are theirs is in tests/parity/processors_test.py."""

import numpy as np
import pytest

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_images
from m3i_jax.interop.statement import Stated

HALF = dict(image_mean=[0.5] * 3, image_std=[0.5] * 3)


def pair(**said):
    """Mean and deviation that a file says."""
    found = beside_images.preprocessor(said, Stated())
    return normalize.statistics(found.fields()["normalization"])


def test_a_file_that_says_no_normalisation_says_nothing():
    assert beside_images.preprocessor({"size": 3}, Stated()) == Stated()
    assert beside_images.preprocessor({"rescale_factor": 1 / 255}, Stated()) == Stated()


@pytest.mark.parametrize(
    "said, sentence",
    [
        (dict(image_mean=[0.5], image_std="x"), "json's image_mean and image_std are"),
        (dict(image_mean=[0.5], image_std=[0.0]), "deviation"),
        (dict(image_mean=[float("nan")] * 3, image_std=[1.0]), "expected three numbers"),
        (dict(image_mean=[0.5] * 4, image_std=[0.5] * 4), "expected three numbers each"),
        (dict(image_mean=[0.5] * 3), "image_mean is there, and image_std is not"),
        (dict(image_std=[0.5] * 3, image_mean=None), "image_std is there, and image_mean is not"),
        (HALF | dict(rescale_factor=0), "rescale_factor is 0"),
        (HALF | dict(rescale_factor=1e-300), "rescale_factor of images whose white"),
        (dict(rescale_factor=1e-300, do_normalize=False), "rescale_factor of images whose white"),
        (dict(image_mean=0.5, image_std=1e-30), "expected means of up to 10 and deviations of"),
        (HALF | dict(do_normalize="false"), "json's do_normalize is 'false', expected true or f"),
        (HALF | dict(do_normalize=None), "do_normalize is None, expected true or false"),
        (HALF | dict(do_rescale=1), "do_rescale is 1, expected true or false"),
        (HALF | dict(do_resize="yes"), "do_resize is 'yes', expected true or false"),
        (HALF | dict(rescale_offset="true"), "rescale_offset is 'true', expected true or false"),
        (HALF | dict(do_grayscale=True), "do_grayscale is on, which is done to no image here"),
        (HALF | dict(do_color_quantize=True), "do_color_quantize is on, which is done to no"),
        (HALF | dict(do_flip_channel_order=True), "do_flip_channel_order is on, which is"),
        (HALF | dict(do_invert="yes"), "do_invert is 'yes', which is done to no image here"),
        (dict(image_processor_type="ImageGPTImageProcessor"), "do_color_quantize is on, which"),
        (HALF | dict(image_processor_type=5), "image_processor_type is 5, expected a name"),
    ],
)
def test_what_we_cannot_do_is_refused_with_its_key(said, sentence):
    with pytest.raises(ConfigError, match="^preprocessor_config.json's ") as error:
        beside_images.preprocessor(said, Stated())
    assert sentence in str(error.value)
    with pytest.raises(ConfigError, match="^processor_config.json's image_processor."):
        beside_images.processor({"image_processor": said}, Stated())


def test_a_processor_of_texts_alone_says_nothing():
    assert beside_images.processor({"processor_class": "X"}, Stated()) == Stated()
    with pytest.raises(ConfigError, match="json's image_processor is 5, expected an object"):
        beside_images.processor({"image_processor": 5}, Stated())


def test_what_is_off_is_off():
    off = dict.fromkeys(["do_grayscale", "do_color_quantize", "do_flip_channel_order"], False)
    assert pair(**HALF, **off, do_pad=None, rescale_offset=None) == normalize.statistics(
        "inception"
    )


def test_offsets_factors_and_missing_steps_are_part_of_the_normalisation():
    """Theirs of a pixel x from 0 to 1: ((255·factor·x − offset) − mean)/std."""
    x = np.linspace(0, 1, 5)[:, None]
    for said, theirs in (
        (HALF, (x - 0.5) / 0.5),
        (HALF | dict(rescale_factor=1 / 127.5), (2 * x - 0.5) / 0.5),
        (HALF | dict(rescale_factor=1 / 127.5, rescale_offset=True), (2 * x - 1.5) / 0.5),
        (HALF | dict(do_rescale=False), (255 * x - 0.5) / 0.5),
        (dict(do_rescale=False, image_mean=[99.0], image_std=[51.0]), (255 * x - 99) / 51),
        (HALF | dict(do_rescale=False, rescale_offset=True), (255 * x - 0.5) / 0.5),
        (dict(do_normalize=False), x),
        (dict(do_normalize=False, rescale_factor=1 / 127.5, rescale_offset=True), 2 * x - 1),
        (dict(do_normalize=False, do_rescale=False), 255 * x),
    ):
        mean, std = map(np.array, pair(**said))
        np.testing.assert_allclose((x - mean) / std, np.broadcast_to(theirs, (5, 3)), atol=1e-9)


def test_kinds_have_statistics_that_their_file_need_not_say():
    assert pair(image_processor_type="CLIPImageProcessor") == normalize.statistics("clip")
    assert pair(feature_extractor_type="ViTFeatureExtractor") == normalize.statistics("inception")
    assert pair(image_processor_type="BeitImageProcessorFast") == normalize.statistics("inception")
    unknown = beside_images.preprocessor({"image_processor_type": "MyProcessor"}, Stated())
    assert not unknown.image and "normalisation of MyProcessor is not known" in unknown.notes[0]
    whole = HALF | dict(do_rescale=True, do_normalize=True, rescale_factor=1 / 255)
    assert pair(image_processor_type="MyProcessor", **whole) == normalize.statistics("inception")


def test_what_means_nothing_here_is_said_to_be_ignored():
    found = beside_images.preprocessor(HALF | dict(jpeg_quality=3, size=4), Stated())
    (note,) = found.notes
    assert note == "preprocessor_config.json: ignored, of no meaning here: jpeg_quality"


@pytest.mark.parametrize(
    "said, crop",
    [
        (dict(size={"shortest_edge": 256}, do_center_crop=True, crop_size=224), 0.875),
        (dict(size=256, do_center_crop=True, crop_size={"height": 192, "width": 256}), 0.75),
        (dict(size={"height": 224, "width": 224}), 1.0),
        (dict(size={"longest_edge": 224}), None),
        (dict(size="large", do_center_crop=True, crop_size=224), None),
        (dict(size=224, do_center_crop=True, crop_size=256), None),
        (dict(size=256, do_center_crop=True, crop_size=224, do_resize=False), None),
    ],
)
def test_how_much_of_an_image_is_seen(said, crop):
    assert beside_images.preprocessor({"do_resize": True, **said}, Stated()).crop == crop
