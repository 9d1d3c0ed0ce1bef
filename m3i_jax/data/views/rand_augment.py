"""RandAugment: a few random operations on an image, all about equally strong (Cubuk et al. 2020).

    m ~ N(magnitude, deviation) clipped to [0, 10],   amount = weakest + (strongest − weakest) m/10

timm's `rand-m9-mstd0.5-inc1` and its relatives (docs/methods.md#fine-tuning): 15 operations, those
with an amount stronger at a larger magnitude, on uint8 images. Moved images are interpolated
bicubically (timm: this or bilinearly at random).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from m3i_jax.augment.amounts import AMOUNTS, GROUND, HALF, LARGEST, Draws, Magnitude
from m3i_jax.build import ConfigError
from m3i_jax.ranges import Share


def rotate(image: Image.Image, degrees: float) -> Image.Image:
    """Turns the image counterclockwise about its middle."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=GROUND)


def posterize(image: Image.Image, bits: float) -> Image.Image:
    """Keeps the ⌈bits⌉ highest bits of every level; none of them leaves black."""
    kept = 256 - 2 ** (8 - math.ceil(bits))
    return image.point([level & kept for level in range(256)] * 3)


def solarize(image: Image.Image, threshold: float) -> Image.Image:
    """Inverts levels of ⌈threshold⌉ and more."""
    least = math.ceil(threshold)
    return image.point([255 - level if level >= least else level for level in range(256)] * 3)


def solarize_add(image: Image.Image, levels: float) -> Image.Image:
    """Adds ⌊levels⌋ to the levels of the darker half, up to 255."""
    more = math.floor(levels)
    table = [min(level + more, 255) if level < HALF else level for level in range(256)]
    return image.point(table * 3)


def shear_x(image: Image.Image, slope: float) -> Image.Image:
    """Shows at (x, y) what was at (x + slope·y, y)."""
    return _affine(image, (1, slope, 0, 0, 1, 0))


def shear_y(image: Image.Image, slope: float) -> Image.Image:
    """Shows at (x, y) what was at (x, y + slope·x)."""
    return _affine(image, (1, 0, 0, slope, 1, 0))


def translate_x(image: Image.Image, share: float) -> Image.Image:
    """Moves the image to the left by a share of its width."""
    return _affine(image, (1, 0, share * image.width, 0, 1, 0))


def translate_y(image: Image.Image, share: float) -> Image.Image:
    """Moves the image up by a share of its height."""
    return _affine(image, (1, 0, 0, 0, 1, share * image.height))


def _affine(image: Image.Image, rows: tuple) -> Image.Image:
    """(a, b, c, d, e, f): the result at (x, y) is the image at (ax + by + c, dx + ey + f)."""
    transform, cubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    return image.transform(image.size, transform, rows, cubic, fillcolor=GROUND)


def _enhanced(enhancer: Any) -> Callable[[Image.Image, float], Image.Image]:
    """(1 + amount) image − amount · base; the base is Pillow's: grey, its mean, black, smooth."""
    return lambda image, amount: enhancer(image).enhance(1.0 + amount)


OPERATIONS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "auto_contrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "invert": lambda image, _: ImageOps.invert(image),
    "rotate": rotate,
    "posterize": posterize,
    "solarize": solarize,
    "solarize_add": solarize_add,
    "color": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
}  # of `AMOUNTS`, in the same order


class Change(NamedTuple):
    """An operation of `OPERATIONS` by name, and how much of it."""

    name: str
    amount: float


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """`operations` draws from `OPERATIONS`, the same one again possible, each used or not.

    "RandAug 9/.5" of the recipes is magnitude 9 and deviation 0.5.

    magnitude, deviation: mean and standard deviation of the magnitude, drawn for each operation.
    operations: number of draws.   probability: that a drawn operation is used.
    """

    magnitude: Magnitude = 9.0
    deviation: Magnitude = 0.5
    operations: Draws = 2
    probability: Share = 0.5

    def __post_init__(self):
        """Refuses what cannot be drawn."""
        for name, right, expected in (
            ("magnitude", 0 <= self.magnitude <= LARGEST, "a number from 0 to 10"),
            ("deviation", self.deviation >= 0, "0 or more"),
            ("operations", self.operations >= 1, "1 or more"),
            ("probability", 0 <= self.probability <= 1, "a probability"),
        ):
            if not right:
                raise ConfigError(
                    f"crops.rand_augment.{name} is {getattr(self, name)}, expected {expected}"
                )

    def draw(self, rng: np.random.Generator) -> list[Change]:
        """The changes of one image, in order."""
        changes, names = [], tuple(OPERATIONS)
        for number in rng.integers(len(names), size=self.operations):
            if rng.random() >= self.probability:
                continue
            meant = AMOUNTS[names[number]]
            magnitude = np.clip(rng.normal(self.magnitude, self.deviation), 0.0, LARGEST)
            amount = meant.at(float(magnitude))
            negative = meant.signed and rng.random() < 0.5
            changes.append(Change(names[number], -amount if negative else amount))
        return changes

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(H, W, 3) uint8, changed: a pure function of the image and the state of `rng`."""
        return apply(image, self.draw(rng))


def apply(image: np.ndarray, changes: list[Change]) -> np.ndarray:
    """(H, W, 3) uint8 after the changes, one after the other."""
    if not changes:
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    for name, amount in changes:
        picture = OPERATIONS[name](picture, amount)
    return np.asarray(picture)
