"""Digit scenes: real handwriting composed over crops of real photographs, without a download.

Every record is a pure function of (split, seed, index). `scene_materials` has the digits and the
photographs; `docs/digit_scenes.md` tells how scenes are composed and how hard they are.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import scene_geometry, scene_materials, scene_objects
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.sources.relabelled import relabelled
from m3i_jax.data.sources.scene_materials import LEVELS, PHOTOGRAPHS
from m3i_jax.data.sources.skeletons import STROKES
from m3i_jax.ranges import Ascending, Count, PositiveShare, Range, Seed, Share

VERSION = 1  # part of the fingerprint: count up whenever a pixel of any scene would change

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

COLOURS = {
    "red": (255, 80, 70),
    "orange": (255, 150, 40),
    "yellow": (255, 235, 60),
    "green": (90, 220, 90),
    "turquoise": (70, 225, 220),
    "blue": (110, 160, 255),
    "purple": (190, 120, 255),
    "pink": (255, 160, 210),
    "white": (250, 250, 250),
}
JITTER = 12  # grey levels, each channel; small enough that the colour word stays true

Height = Annotated[float, Range(0.05, 0.9, why="a share of the scene, with a margin")]
ROWS = ("upper", "middle", "lower")
COLUMNS = ("left", "centre", "right")


class Scene(NamedTuple):
    """How one scene is composed; lengths in pixels, `digit` an index into the 1797 digits."""

    digit: int
    label: int
    photograph: int
    level: int
    origin: tuple[int, int]  # of the background, in its photograph
    mirror: bool
    dark: bool  # whether the digit is darker than a brightened photograph, not lighter
    light: np.ndarray  # (3, 3): what a pixel's (y, x, 1) is multiplied with, to scale its RGB
    top: float  # of the square that holds the digit before it is turned
    left: float
    tall: float  # side of that square
    angle: float  # radians
    colour: str
    rgb: np.ndarray
    opacity: float


class Recipe(NamedTuple):
    """The arguments of `digit_scenes`, checked."""

    split: str
    size: int
    length: int
    seed: int
    digit: tuple[float, float]
    opacity: tuple[float, float]
    angle: float
    contrast: float
    clutter: float
    shade: float
    light: float
    dark: float


def digit_scenes(
    split: str,
    *,
    classes: Sequence[str] | None = None,
    size: Annotated[int, Range(16, 256)] = 48,
    length: Count | None = None,
    seed: Seed = 0,
    digit: Annotated[tuple[Height, Height], Ascending()] = (0.55, 0.7),
    opacity: Annotated[tuple[PositiveShare, PositiveShare], Ascending()] = (0.85, 1.0),
    angle: Annotated[float, Range(0, 180)] = 8.0,
    contrast: Share = 0.25,
    clutter: Share = 0.7,
    shade: Share = 0.6,
    light: Share = 0.0,
    dark: Share = 0.0,
    dense: bool = False,
    objects: Annotated[int, Range(1, scene_objects.MOST)] = 1,
) -> Source:
    """The embedded data set; the defaults are the difficulty that the documentation quotes.

    Args:
      split: "train" or "test". They share no handwritten digit, and the backgrounds come from
        the left 60 % and the right 40 % of the photographs.
      classes: of the training split, where these are not the ten digits.
      size: height and width of a scene in pixels.
      length: number of records; 20 000 for training and 2 000 for testing when None.
      seed: another seed, another data set.
      digit: smallest and largest height of a digit, as a share of the scene.
      opacity: range of the opacity of the digit.
      angle: largest rotation of the digit in degrees, either way.
      contrast: least difference in luminance to what is behind the digit, 1 = white on black.
      clutter: contrast of the photograph, 1 = as it is, 0 = its mean colour.
      shade: brightness of the photograph, 1 = as it is.
      dark: share of scenes with a dark digit on a brightened photograph.
      light: how unevenly the photograph is lit, from a random side and in a random tint; 0 = not.
      dense: whether records have depth and key points, too (`scene_geometry`).
      objects: more than 1: each scene has 2 to so many digits, with boxes and masks in place of a
        label and of key points (`scene_objects`). With `digit` = (0.2, 0.4) they are mostly seen.

    Raises:
      ConfigError: an unknown split, a value out of range, or a missing package.
    """
    length = {"train": 20_000}.get(split, 2_000) if length is None else length
    spans = tuple(digit), tuple(opacity)
    look = angle, contrast, clutter, shade, light, dark
    recipe = _checked(Recipe(split, size, length, seed, *spans, *look))
    scenes = DigitScenes(recipe, dense=dense)
    if objects > 1:  # whose classes are none, whatever training has
        return scene_objects.ObjectScenes(scenes, objects)
    return relabelled(scenes, classes)


class DigitScenes:
    """A source of scenes; see `digit_scenes`. Holds only arrays that are never written."""

    name = "digit_scenes"
    classes = DIGITS
    categories = ("ground", *DIGITS)  # of masks
    skeleton = STROKES
    colours = tuple(COLOURS)
    evaluation_ratio = 1.0  # scenes are small and square: evaluation resizes, it cuts nothing

    def __init__(self, recipe: Recipe, *, dense: bool = False):
        """Digits and photographs are loaded with the first scene, once per process."""
        scene_materials.require()
        self.recipe, self.dense = recipe, dense
        self._plane = _plane(recipe.size)

    @property
    def glyphs(self) -> tuple[Image.Image, ...]:
        """All digits, 8 x 8 with a margin."""
        return scene_materials.glyphs(self.recipe.split)[0]

    @property
    def by_class(self) -> tuple[np.ndarray, ...]:
        """The numbers of the digits of this split, class by class."""
        return scene_materials.glyphs(self.recipe.split)[1]

    @property
    def backgrounds(self) -> tuple[tuple[np.ndarray, ...], ...]:
        """The parts of the photographs that this split may use, at two scales each."""
        recipe = self.recipe
        look = recipe.size, recipe.clutter, recipe.shade, recipe.split
        return scene_materials.backgrounds(*look)

    def __len__(self) -> int:
        """Number of records."""
        return self.recipe.length

    def __getitem__(self, index: int) -> Sample:
        """Composes scene `index`; its label is `index % 10`, so every prefix is balanced."""
        scene = self.scene(index)
        image = self.background(scene)
        cover = self.cover(scene)
        image += cover[..., None] * np.float32(scene.opacity) * (scene.rgb - image)
        mask = (cover > 0.5) * np.uint8(scene.label + 1)
        box, geometry = _tight(mask), {}
        if self.dense:
            depth = scene_geometry.depth(mask > 0, scene.tall, LEVELS[scene.level])
            geometry = {"depth": depth, "points": scene_geometry.points(mask > 0)}
        pixels, caption = (image + 0.5).astype(np.uint8), self._caption(scene)
        return Sample(pixels, scene.label, caption, mask, box, **geometry)

    def scene(self, index: int) -> Scene:
        """Draws how scene `index` is composed, without rendering it."""
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        r = self.recipe
        u = np.random.default_rng((r.seed, r.split == "test", index)).random(19 + len(COLOURS))
        label = index % len(DIGITS)
        instances = self.by_class[label]
        photograph, level = int(u[1] * len(PHOTOGRAPHS)), int(u[2] * len(LEVELS))
        height, width = self.backgrounds[photograph][level].shape[:2]
        tall = r.size * (r.digit[0] + u[3] * (r.digit[1] - r.digit[0]))
        scene = Scene(
            digit=int(instances[int(u[0] * len(instances))]),
            label=label,
            photograph=photograph,
            level=level,
            origin=(int(u[4] * (height - r.size + 1)), int(u[5] * (width - r.size + 1))),
            mirror=u[6] < 0.5,
            light=_light(u[14:18], r.light),
            dark=u[-1] < r.dark,
            top=u[7] * (r.size - tall),
            left=u[8] * (r.size - tall),
            tall=tall,
            angle=math.radians(r.angle) * (2 * u[9] - 1),
            colour="",
            rgb=np.zeros(3, np.float32),
            opacity=r.opacity[0] + u[10] * (r.opacity[1] - r.opacity[0]),
        )
        return self.coloured(scene, jitter=u[11:14], order=np.argsort(u[18:-1]))

    def captions(self) -> Iterator[str]:
        """All captions in order; no scene is rendered."""
        return (self._caption(self.scene(index)) for index in range(len(self)))

    def fingerprint(self) -> str:
        """Digest of the recipe and of the version of this module."""
        said = f"digit_scenes {VERSION} {self.recipe}" + " dense" * self.dense
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def where(self, index: int) -> str:
        """How reports name a record."""
        return f"digit_scenes/{self.recipe.split}/{index}"

    def background(self, scene: Scene) -> np.ndarray:
        """The photograph behind `scene`, cut and lit, (size, size, 3) float32."""
        (top, left), size = scene.origin, self.recipe.size
        photograph = self.backgrounds[scene.photograph][scene.level]
        crop = photograph[top : top + size, left : left + size]
        crop = crop[:, ::-1] if scene.mirror else crop
        crop = crop + 255 * (1 - self.recipe.shade) if scene.dark else crop
        return np.minimum(crop * (self._plane @ scene.light), 255)

    def coloured(self, scene: Scene, *, jitter: np.ndarray, order: np.ndarray) -> Scene:
        """Gives `scene` the first colour of `order` that stands out from what is behind it."""
        rows = slice(int(scene.top), math.ceil(scene.top + scene.tall))
        columns = slice(int(scene.left), math.ceil(scene.left + scene.tall))
        behind = self.background(scene)[rows, columns].mean((0, 1))
        depth = DARKER if scene.dark else 1.0  # of the jitter too, or the colour words come untrue
        palette = depth * _PALETTE
        lead = (-1 if scene.dark else 1) * ((palette - behind) @ _LUMINANCE)
        enough = [colour for colour in order if lead[colour] >= self.recipe.contrast]
        chosen = int(enough[0] if enough else order[np.argmax(lead[order])])
        rgb = np.clip(palette[chosen] + depth * JITTER * (2 * jitter - 1), 0, 255).astype(
            np.float32
        )
        return scene._replace(colour=self.colour(chosen, dark=scene.dark), rgb=rgb)

    def colour(self, number: int, *, dark: bool) -> str:
        """What one of `colours` is called, or its dark shade."""
        name = self.colours[number]
        return DARK_NAMES.get(name, f"dark {name}") if dark else name

    def cover(self, scene: Scene) -> np.ndarray:
        """Coverage of every pixel by the digit, (size, size) float32 in 0..1."""
        glyph, size = self.glyphs[scene.digit], self.recipe.size
        scale = 8 / scene.tall  # pixels of the digit for each pixel of the scene
        cos, sin = math.cos(scene.angle) * scale, math.sin(scene.angle) * scale
        x, y = scene.left + scene.tall / 2, scene.top + scene.tall / 2
        turned = glyph.transform(
            (size, size),
            Image.Transform.AFFINE,
            (cos, -sin, glyph.width / 2 - cos * x + sin * y)
            + (sin, cos, glyph.height / 2 - sin * x - cos * y),
            Image.Resampling.BICUBIC,
        )
        return _SHARPEN[np.asarray(turned)]

    def _caption(self, scene: Scene) -> str:
        """`a small green seven on a photograph of a cup, lower left`."""
        noun = PHOTOGRAPHS[scene.photograph].noun
        return f"{self.words(scene)} on a photograph of {noun}, {self.place(scene)}"

    def words(self, scene: Scene) -> str:
        """`a small green seven`."""
        return f"a {self._size(scene)} {scene.colour} {DIGITS[scene.label]}"

    def _size(self, scene: Scene) -> str:
        """Which third of the range of heights the digit is in, as a word."""
        low, high = (bound * self.recipe.size for bound in self.recipe.digit)
        third = 3 * (scene.tall - low) / max(high - low, 1e-9)
        return ("small", "medium", "large")[min(int(third), 2)]

    def place(self, scene: Scene) -> str:
        """The cell of a 3 x 3 grid over the scene that holds the middle of the digit."""
        row = ROWS[int(3 * (scene.top + scene.tall / 2) / self.recipe.size)]
        column = COLUMNS[int(3 * (scene.left + scene.tall / 2) / self.recipe.size)]
        return f"{row} {column}"


def _checked(recipe: Recipe) -> Recipe:
    """Refuses values that no scene can be drawn with."""
    if recipe.split not in ("train", "test"):
        raise ConfigError(f"digit_scenes has the splits 'train' and 'test', not {recipe.split!r}")
    if recipe.size < 16 or recipe.length < 1:
        raise ConfigError(
            f"digit_scenes: size is {recipe.size} and length {recipe.length}; expected at least "
            "16 pixels and one scene"
        )
    for name, high in (("digit", 0.9), ("opacity", 1.0)):
        span = getattr(recipe, name)
        if len(span) != 2 or not 0 < span[0] <= span[1] <= high:
            raise ConfigError(f"digit_scenes: {name} is {span}, expected 0 < low <= high <= {high}")
    for name in ("contrast", "clutter", "shade", "light", "dark"):
        value = getattr(recipe, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"digit_scenes: {name} is {value}, expected a number from 0 to 1")
    return recipe


DARKER = 0.4  # a dark colour, as a share of its bright one
DARK_NAMES = {"white": "grey", "orange": "brown", "yellow": "olive"}
_PALETTE = np.array(list(COLOURS.values()), np.float32)
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32) / 255  # of RGB, 0..1
# An 8 x 8 digit enlarged is a soft blob; a steep ramp around half grey gives it pen strokes.
_SHARPEN = np.clip((np.arange(256, dtype=np.float32) - 70) / 100, 0, 1)


def _plane(size: int) -> np.ndarray:
    """(size, size, 3) float32: y and x of every pixel, -1..1, and 1."""
    y, x = np.mgrid[:size, :size].astype(np.float32) * 2 / (size - 1) - 1
    return np.stack([y, x, np.ones_like(x)], -1)


def _light(u: np.ndarray, strength: float) -> np.ndarray:
    """(3, 3) float32: light that falls off along a random direction, `u[0]`, in a tint, `u[1:]`.

    Times (y, x, 1) it is the brightness of R, G and B: between 1 - strength and 1 + strength
    along the direction, and the three channels up to strength / 2 apart from 1.
    """
    angle = 2 * math.pi * u[0]
    slope = strength / math.sqrt(2) * np.array([math.sin(angle), math.cos(angle)])
    tint = 1 + strength / 2 * (2 * u[1:] - 1)
    return np.outer([*slope, 1.0], tint).astype(np.float32)


def _tight(mask: np.ndarray) -> np.ndarray:
    """(top, left, height, width) of the nonzero part of `mask`, float32."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = rows[0], columns[0]
    return np.array([top, left, rows[-1] - top + 1, columns[-1] - left + 1], np.float32)
