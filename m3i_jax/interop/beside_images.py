"""What transformers' preprocessor_config.json says of the images that a network expects."""

import re
from collections.abc import Mapping
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.interop.statement import (
    Fact,
    Stated,
    channels,
    ignored,
    is_count,
    named,
    number,
    truth,
)
from m3i_jax.normalize import CHANNELS

FILE = "preprocessor_config.json's "
# What may be done to an image, or to labels; anything else that is switched on we cannot do.
_DONE = ("do_resize", "do_center_crop", "do_convert_rgb", "do_reduce_labels", "do_pad")
_READ = ("do_rescale", "do_normalize", "rescale_factor", "rescale_offset", "image_mean",
         "image_std")  # fmt: skip
# Of files and labels, or of sizes, which evaluation has its own way with.
_HARMLESS = frozenset(
    "image_processor_type feature_extractor_type processor_class auto_map size crop_size crop_pct "
    "resample data_format input_data_format return_tensors device disable_grouping reduce_labels "
    "default_to_square size_divisor pad_size image_seq_length".split()
)
_TYPE = re.compile(r"(.+?)(?:ImageProcessor|FeatureExtractor)(?:Fast|Pil)?")
# Of the processors that our families have, what a file need not say; it is in [0, 1] by 1/255.
_OF_KIND = {
    "inception": "ViT Beit DeiT ConvNext EfficientNet Siglip VideoMAE DPT MobileNetV1 MobileNetV2",
    "clip": "CLIP ChineseCLIP Bit Blip Flava OwlViT",
    "imagenet": "DINOv3ViT Levit Perceiver PoolFormer Pvt Segformer SegGpt",
}
STATISTICS = {kind: name for name, kinds in _OF_KIND.items() for kind in kinds.split()}
# What some do unless their file says no; the top of EfficientNet divides by the deviation again.
_UNASKED = {
    "EfficientNet": "include_top",
    "ImageGPT": "do_color_quantize",
    "MobileViT": "do_flip_channel_order",
    "Tvp": "do_flip_channel_order",
    "SuperGlue": "do_grayscale",
    "LightGlue": "do_grayscale",
    "EfficientLoFTR": "do_grayscale",
}
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def preprocessor(said: Mapping[str, Any], stated: Stated, *, where: str = FILE) -> Stated:
    """With the normalisation of a preprocessor_config.json.

    Raises:
      ConfigError: images that we cannot make.
    """
    kind, file = _kind(said, where), where.split(".json")[0] + ".json"
    does = {**{key: True for k, key in _UNASKED.items() if k == kind}, **said}
    for key, value in does.items():
        if key in _DONE and value is not None:
            truth(value, where + key)
        elif _changes(key) and value not in (None, False):
            shown = "on" if value is True else repr(value)
            raise ConfigError(f"{where}{key} is {shown}, which is done to no image here")
    known = {key for key in said if _changes(key)} | {*_READ, *_DONE} | _HARMLESS
    notes = _resizing(said, file) + ignored(said, known, file)
    pair = _statistics(said, kind, where)
    if pair is not None:
        fact = Fact(named(pair, CHANNELS), where + "image_mean and image_std")
        stated = stated.but(normalization=fact)
    elif kind:
        notes += (f"{file}: the normalisation of {kind} is not known, and not said in full",)
    return stated._replace(notes=(*stated.notes, *notes), crop=_crop(said) or stated.crop)


def _changes(key: str) -> bool:
    """Whether a key switches something on that we do not do."""
    return key == "include_top" or key.startswith("do_") and key not in _DONE + _READ


def _statistics(said: Mapping[str, Any], kind: str, where: str) -> tuple | None:
    """Mean and deviation of images in [0, 1]; None where nobody says them.

    Theirs are of 255·factor·x, less 1 with an offset.
    """
    if kind not in ("", *STATISTICS) and not said.keys() >= {*_READ} - {"rescale_offset"}:
        return None
    rescaled, normalized = (truth(said.get(k, True), where + k) for k in _READ[:2])
    factor = said.get("rescale_factor", 1 / 255) if rescaled else 1.0
    scale = 255 * number(factor, where + "rescale_factor")
    offset = said.get("rescale_offset")
    offset = offset is not None and truth(offset, where + "rescale_offset") and rescaled
    mean, std = said.get("image_mean"), said.get("image_std")
    zero, one = channels(0.0, 1.0, where + "rescale_factor", scale=scale)
    if not normalized:
        mean, std = zero, one
    elif mean is None and std is None:
        if kind not in STATISTICS:
            return None
        mean, std = (tuple(x / scale for x in row) for row in CHANNELS[STATISTICS[kind]])
    elif mean is None or std is None:
        there, lacks = ("image_std", "image_mean") if mean is None else ("image_mean", "image_std")
        raise ConfigError(f"{where}{there} is there, and {lacks} is not; images need both")
    else:
        mean, std = channels(mean, std, where + "image_mean and image_std", scale=scale)
    return tuple(x + offset / scale for x in mean), std


def _kind(said: Mapping[str, Any], where: str) -> str:
    """The processor, such as CLIP; "" where the file names none."""
    for key in ("image_processor_type", "feature_extractor_type"):
        name = said.get(key)
        if name is None:
            continue
        if not isinstance(name, str):
            raise ConfigError(f"{where}{key} is {name!r}, expected a name of transformers'")
        match = _TYPE.fullmatch(name)
        return match[1] if match else name
    return ""


def processor(said: Mapping[str, Any], stated: Stated) -> Stated:
    """The same of the image processor in a processor_config.json."""
    inner, where = said.get("image_processor"), "processor_config.json's image_processor"
    if inner is None:
        return stated
    if not isinstance(inner, dict):
        raise ConfigError(f"{where} is {inner!r}, expected an object")
    return preprocessor(inner, stated, where=f"{where}.")


def _crop(said: Mapping[str, Any]) -> float | None:
    """The share of the short side that is left after the cut; None where it is not said."""
    if not said.get("do_resize"):
        return None
    short = _short(said.get("size"))
    kept = _short(said.get("crop_size")) if said.get("do_center_crop") else short
    return kept / short if short and kept and kept <= short else None


def _short(size: Any) -> int | None:
    """The short side of a size as theirs is written: a number, or an object of two or of one."""
    sides = (
        map(size.get, ("shortest_edge", "height", "width")) if isinstance(size, dict) else [size]
    )
    return min(filter(is_count, sides), default=None)


def _resizing(said: Mapping[str, Any], file: str) -> tuple[str, ...]:
    """How its images were made of photographs, which evaluation does in its own way."""
    if not said.get("do_resize"):
        return ()
    number_of = said.get("resample")
    method = RESAMPLE.get(number_of, "some way") if isinstance(number_of, int) else "some way"
    cut = f" and cut to {said.get('crop_size')}" if said.get("do_center_crop") else ""
    return (f"{file}: images were resized ({method}) to {said.get('size')}{cut}",)
