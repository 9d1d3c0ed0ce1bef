"""What digit scenes are made of: scikit-learn's handwritten digits, and real photographs.

The photographs come with scikit-learn and scikit-image; `PHOTOGRAPHS` names the licence of each.
"""

import functools
import importlib
import importlib.util
from typing import NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.build import ConfigError

TRAIN_DIGITS = 1437  # of 1797, in file order; the other 360 are the test digits
TRAIN_SHARE = 0.6  # of a photograph's width, from the left; test backgrounds use the rest
LEVELS = (2.5, 4.0)  # short side of the photographs, in scenes: two scales of background
MARGIN = 1  # blank pixels around an 8 x 8 digit, so that a turned one is not cut off


class Photograph(NamedTuple):
    """A photograph that an ordinary wheel carries: how to load it, what it shows, who allows it."""

    package: str
    name: str
    noun: str
    licence: str


PHOTOGRAPHS = (
    Photograph("sklearn", "china.jpg", "a temple", "CC BY 2.0, danielbuechele"),
    Photograph("sklearn", "flower.jpg", "a flower", "CC BY 2.0, vultilion"),
    Photograph("skimage", "astronaut", "an astronaut", "public domain, NASA"),
    Photograph("skimage", "cat", "a cat", "CC0, Stefan van der Walt"),
    Photograph("skimage", "coffee", "a cup", "CC0, Rachel Michetti"),
    Photograph("skimage", "rocket", "a rocket", "public domain, SpaceX"),
    Photograph("skimage", "hubble_deep_field", "galaxies", "public domain, NASA"),
    Photograph("skimage", "retina", "a retina", "CC0, Häggström 2014"),
    Photograph("skimage", "brick", "bricks", "CC0, CC0Textures Bricks25"),
    Photograph("skimage", "grass", "grass", "CC0, linolafett"),
    Photograph("skimage", "gravel", "gravel", "CC0, CC0Textures Gravel04"),
    Photograph("skimage", "camera", "a photographer", "CC0, Lav Varshney"),
)


@functools.cache
def glyphs(split: str) -> tuple[tuple[Image.Image, ...], tuple[np.ndarray, ...]]:
    """All 1797 digits with a blank margin, and the numbers of those of `split` by class."""
    digits = _package("sklearn.datasets").load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
    padded = tuple(Image.fromarray(np.pad(glyph, MARGIN)) for glyph in grey)
    numbers = np.arange(len(padded))
    chosen = numbers < TRAIN_DIGITS if split == "train" else numbers >= TRAIN_DIGITS
    return padded, tuple(np.flatnonzero(chosen & (digits.target == c)) for c in range(10))


@functools.cache
def backgrounds(
    size: int, clutter: float, shade: float, split: str
) -> tuple[tuple[np.ndarray, ...], ...]:
    """The part of every photograph that `split` may use, at each of `LEVELS`; read-only."""
    return tuple(
        tuple(
            _part(decoded(photograph), round(level * size), clutter, shade, split)
            for level in LEVELS
        )
        for photograph in PHOTOGRAPHS
    )


def _part(image: Image.Image, short: int, clutter: float, shade: float, split: str) -> np.ndarray:
    """One side of `image`, its short side scaled to `short` and its contrast to `clutter`."""
    scale = short / min(image.size)
    image = image.resize(tuple(round(edge * scale) for edge in image.size), Image.BICUBIC)
    pixels = np.asarray(image, np.float32)
    cut = round(TRAIN_SHARE * pixels.shape[1])
    pixels = pixels[:, :cut] if split == "train" else pixels[:, cut:]
    mean = pixels.mean((0, 1))
    part = np.round(shade * (mean + clutter * (pixels - mean))).astype(np.uint8)
    part.setflags(write=False)
    return part


@functools.cache
def decoded(photograph: Photograph) -> Image.Image:
    """Decodes a photograph from the wheel that carries it."""
    if photograph.package == "sklearn":
        pixels = _package("sklearn.datasets").load_sample_image(photograph.name)
    else:
        pixels = getattr(_package("skimage.data"), photograph.name)()
    image = Image.fromarray(np.asarray(pixels)).convert("RGB")
    image.thumbnail((640, 640), Image.Resampling.BICUBIC)  # enough for scenes of 128 pixels
    return image


def require() -> None:
    """Refuses to go on without the packages of the `scenes` extra; imports neither.

    Raises:
      ConfigError: one is not installed.
    """
    for name in sorted({photograph.package for photograph in PHOTOGRAPHS}):
        if importlib.util.find_spec(name) is None:
            raise _missing(name)


def _package(name: str):
    """Imports a module of the `scenes` extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(name) from error


def _missing(name: str) -> ConfigError:
    extra = "pip install 'm3i_jax[scenes]'"
    return ConfigError(f"digit_scenes needs {name.partition('.')[0]}; run: {extra}")
