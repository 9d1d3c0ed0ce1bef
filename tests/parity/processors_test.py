"""Image processors of transformers, their files varied key by key: their pixels, or a refusal."""

import json

import numpy as np
import pytest

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_images
from m3i_jax.interop.statement import Stated

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

KINDS = sorted(beside_images.STATISTICS)
# What every kind is asked for besides what its class has.
CHANGES = [
    {},
    dict(image_mean=[0.1, 0.2, 0.3]),
    dict(image_std=[0.4, 0.5, 0.6]),
    dict(rescale_factor=1 / 127.5),
    dict(rescale_factor=1 / 100, do_normalize=False),
    dict(do_rescale=False),
    dict(do_normalize=False),
]


def processor(kind):
    made = getattr(transformers, f"{kind}ImageProcessor", None)
    return made or pytest.skip(f"this version has no {kind}ImageProcessor")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("least", [False, True], ids=["whole", "least"])
def test_pixels_are_those_of_the_other_library(kind, least, tmp_path):
    """From the file that it saves, and from one with nothing but what differs."""
    made = processor(kind)
    for change in CHANGES:
        if kind == "DINOv3ViT" and not change.get("do_rescale", True):
            continue  # theirs takes no bytes then
        more = dict(include_top=False) if kind == "EfficientNet" else {}
        theirs = made(**change, **more, do_resize=False, do_center_crop=False)
        theirs.save_pretrained(tmp_path)
        said = json.loads((tmp_path / "preprocessor_config.json").read_text())
        if least:
            if len({"image_mean", "image_std"} & change.keys()) == 1:
                continue  # half a pair is refused
            said = change | more | {"image_processor_type": said["image_processor_type"]}
        image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
        want = np.asarray(theirs(image, return_tensors="np")["pixel_values"][0], np.float64)
        found = beside_images.preprocessor(said, Stated()).fields()["normalization"]
        mean, std = map(np.array, normalize.statistics(found))
        got = ((image / 255 - mean) / std).transpose(2, 0, 1)
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max(), (kind, change)


@pytest.mark.parametrize("offset", [True, False])
def test_an_offset_is_part_of_it(offset, tmp_path):
    theirs = transformers.EfficientNetImageProcessor(
        rescale_offset=offset, rescale_factor=1 / 127.5, do_resize=False, include_top=False
    )
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    theirs.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "preprocessor_config.json").read_text())
    found = beside_images.preprocessor(said, Stated()).fields()["normalization"]
    mean, std = map(np.array, normalize.statistics(found))
    want = np.asarray(theirs(image, return_tensors="np")["pixel_values"][0], np.float64)
    np.testing.assert_allclose(((image / 255 - mean) / std).transpose(2, 0, 1), want, atol=1e-5)


@pytest.mark.parametrize(
    "kind", ["EfficientNet", "ImageGPT", "SuperGlue", "LightGlue", "MobileViT"]
)
def test_what_others_do_to_pixels_unasked_is_refused(kind):
    said = processor(kind)().to_dict()
    for file in (said, {"image_processor_type": said["image_processor_type"]}):
        with pytest.raises(ConfigError, match="which is done to no image here"):
            beside_images.preprocessor(file, Stated())
