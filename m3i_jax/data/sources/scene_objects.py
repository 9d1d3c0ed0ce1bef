"""Digit scenes with several digits: of each its box, its mask, its category and what hides it.

A scene is composed as those of one digit are (`digit_scenes`), whose background and digit it has.
Digits that stand nearer, which are larger, hide those behind them; a mask is of the pixels that
show its digit, a box is tight around these. No handwritten digit is in both splits.
"""

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from m3i_jax.data.sources import outlines, sample_objects, scene_geometry
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.data.sources.scene_materials import LEVELS, PHOTOGRAPHS
from m3i_jax.types import Array

VERSION = 1  # part of the fingerprint: count up whenever a pixel of any scene would change
MOST = 8  # digits, one less than there are colours
TRIES = 20  # places that are drawn for a digit; where it meets others least it stays
APART = 0.25  # of the smaller of two squares: what may be common to both without another try


class ObjectScenes:
    """A source of scenes of 2 to `most` digits, without labels; see `digit_scenes`."""

    name = "digit_scenes"
    classes: tuple[str, ...] = ()
    evaluation_ratio = 1.0  # scenes are small and square: evaluation resizes, it cuts nothing

    def __init__(self, scenes: Any, most: int):
        """scenes: the `DigitScenes` of one digit each."""
        self._one, self.most, self.recipe = scenes, most, scenes.recipe
        self.object_names = scenes.classes
        self.categories = scenes.categories

    def __len__(self) -> int:
        """Number of records."""
        return len(self._one)

    def __getitem__(self, index: int) -> Sample:
        """Composes scene `index`."""
        digits = self.layout(index)
        image, (shown, _) = self.composed(digits), self.seen(digits)
        mask = np.zeros(image.shape[:2], np.uint8)
        for digit, pixels in zip(digits, shown, strict=True):
            mask[pixels] = digit.label + 1
        said = dict(mask=mask, objects=_objects(digits, shown))
        if self._one.dense:
            said["depth"] = self._depth(digits, shown)
        return Sample(image, caption=self._caption(digits), **said)

    def composed(self, digits: tuple[Any, ...]) -> Array:
        """(size, size, 3) uint8, the image of digits, the farthest first."""
        image = self._one.background(digits[0])
        for digit in digits:
            cover = self._one.cover(digit)[..., None]
            image = image + cover * np.float32(digit.opacity) * (digit.rgb - image)
        return (image + 0.5).astype(np.uint8)

    def pixels(self, digit: Any) -> Array:
        """(size, size) bool, those of a digit, also where others hide them."""
        return self._one.cover(digit) > 0.5

    def layout(self, index: int) -> tuple[Any, ...]:
        """How the digits of scene `index` are composed, each a `digit_scenes.Scene`, the farthest
        first."""
        r, first = self.recipe, self._one.scene(index)
        rng = np.random.default_rng((r.seed, r.split == "test", index, VERSION))
        digits = [first]
        for _ in range(int(rng.integers(2, self.most + 1)) - 1):
            digits.append(self._another(digits, rng))
        return tuple(sorted(digits, key=lambda digit: digit.tall))

    def seen(self, digits: tuple[Any, ...]) -> tuple[Array, Array]:
        """Which pixels show each of the digits, (n, size, size) bool, and which share of its own
        pixels these are, (n,) float64, 1 = nothing hides it."""
        own = np.stack([self.pixels(digit) for digit in digits])
        nearer = np.cumsum(own[::-1], axis=0)[::-1] - own > 0
        shown = own & ~nearer
        return shown, shown.sum((1, 2)) / own.sum((1, 2))

    def captions(self) -> Iterator[str]:
        """All captions in order; no scene is rendered."""
        return (self._caption(self.layout(index)) for index in range(len(self)))

    def fingerprint(self) -> str:
        """Digest of the recipe and of the version of this module."""
        said = f"{self._one.fingerprint()} objects {VERSION} {self.most}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def where(self, index: int) -> str:
        """How reports name a record."""
        return self._one.where(index)

    def _another(self, digits: list[Any], rng: np.random.Generator) -> Any:
        """One more digit, in a colour that none of the others has."""
        r, first = self.recipe, digits[0]
        label = int(rng.integers(len(self.object_names)))
        tall = r.size * rng.uniform(*r.digit)
        top, left = _free(rng.uniform(0, r.size - tall, (TRIES, 2)), tall, digits)
        scene = first._replace(
            digit=int(rng.choice(self._one.by_class[label])),
            label=label,
            top=top,
            left=left,
            tall=tall,
            angle=math.radians(r.angle) * rng.uniform(-1, 1),
            opacity=rng.uniform(*r.opacity),
        )
        taken, one = {digit.colour for digit in digits}, self._one
        order = rng.permutation(len(one.colours))
        free = [n for n in order if one.colour(n, dark=scene.dark) not in taken]
        return one.coloured(scene, jitter=rng.random(3), order=np.array(free))

    def _depth(self, digits: tuple[Any, ...], shown: Array) -> Array:
        """(size, size) float32 metres."""
        nothing, level = np.zeros_like(shown[0]), LEVELS[digits[0].level]
        depth = scene_geometry.depth(nothing, 1.0, level)
        for digit, pixels in zip(digits, shown, strict=True):
            depth = np.where(pixels, scene_geometry.depth(pixels, digit.tall, level), depth)
        return depth

    def _caption(self, digits: tuple[Any, ...]) -> str:
        """`a small green seven, lower left; a large red two, upper right; on a photograph of a
        cup`, the nearest first."""
        said = [f"{self._one.words(one)}, {self._one.place(one)}" for one in digits[::-1]]
        return "; ".join([*said, f"on a photograph of {PHOTOGRAPHS[digits[0].photograph].noun}"])


def _free(places: Array, tall: float, digits: list[Any]) -> tuple[float, float]:
    """Of some upper left corners the first at which a square is apart from those of digits; where
    none is, that where it meets them least."""
    common = np.zeros(len(places))
    for digit in digits:
        corner, side = np.array([digit.top, digit.left]), digit.tall
        low, high = np.maximum(places, corner), np.minimum(places + tall, corner + side)
        meets = np.maximum(high - low, 0).prod(1) / min(tall, side) ** 2
        common = np.maximum(common, meets)
    apart = np.flatnonzero(common <= APART)
    top, left = places[apart[0] if len(apart) else np.argmin(common)]
    return float(top), float(left)


def _objects(digits: tuple[Any, ...], shown: Array) -> SampleObjects:
    """Those of the digits of which a pixel is seen."""
    some = [(digit, pixels) for digit, pixels in zip(digits, shown, strict=True) if pixels.any()]
    if not some:
        return sample_objects.none()
    runs = [outlines.encoded(pixels) for _, pixels in some]
    whole = np.array([0, 0, *shown.shape[1:]])
    return SampleObjects(
        np.stack([outlines.bounds(one, whole) for one in runs]).astype(np.float32),
        np.array([digit.label for digit, _ in some], np.int32),
        np.zeros(len(some), bool),
        np.array([outlines.area(one) for one in runs], np.float32),
        tuple(runs),
    )
