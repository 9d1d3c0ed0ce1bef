"""Digit scenes: real handwriting composed over crops of real photographs, without a download.

Every record is a pure function of (split, seed, index). The digits are scikit-learn's, the
photographs come with scikit-learn and scikit-image (`PHOTOGRAPHS` names the licence of each);
`docs/digit_scenes.md` tells how scenes are composed and how hard they are.
"""

import functools
import hashlib
import importlib
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.ranges import Ascending, Count, PositiveShare, Range, Seed, Share

VERSION = 1  # part of the fingerprint: count up whenever a pixel of any scene would change

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TRAIN_DIGITS = 1437  # of 1797, in file order; the other 360 are the test digits
TRAIN_SHARE = 0.6  # of a photograph's width, from the left; test backgrounds use the rest
LEVELS = (2.5, 4.0)  # short side of the photographs, in scenes: two scales of background
MARGIN = 1  # blank pixels around an 8 x 8 digit, so that a turned one is not cut off

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
) -> "DigitScenes":
    """The embedded data set; the defaults are the difficulty that the documentation quotes.

    Args:
      split: "train" or "test". They share no handwritten digit, and the backgrounds come from
        the left 60 % and the right 40 % of the photographs.
      classes: of the training split; both have the ten digits.
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

    Raises:
      ConfigError: an unknown split, a value out of range, or a missing package.
    """
    if classes is not None and tuple(classes) != DIGITS:
        raise ConfigError(f"the classes of digit_scenes are {', '.join(DIGITS)} and no others")
    length = {"train": 20_000}.get(split, 2_000) if length is None else length
    spans = tuple(digit), tuple(opacity)
    return DigitScenes(
        _checked(
            Recipe(split, size, length, seed, *spans, angle, contrast, clutter, shade, light, dark)
        )
    )


class DigitScenes:
    """A source of scenes; see `digit_scenes`. Holds only arrays that are never written."""

    name = "digit_scenes"
    classes = DIGITS
    evaluation_ratio = 1.0  # scenes are small and square: evaluation resizes, it cuts nothing

    def __init__(self, recipe: Recipe):
        """Loads the digits and the photographs, once per process."""
        self.recipe = recipe
        self.glyphs, self.by_class = _glyphs(recipe.split)
        self._plane = _plane(recipe.size)
        self.backgrounds = _backgrounds(recipe.size, recipe.clutter, recipe.shade, recipe.split)

    def __len__(self) -> int:
        """Number of records."""
        return self.recipe.length

    def __getitem__(self, index: int) -> Sample:
        """Composes scene `index`; its label is `index % 10`, so every prefix is balanced."""
        scene = self.scene(index)
        image = self._background(scene)
        cover = self._cover(scene)
        image += cover[..., None] * np.float32(scene.opacity) * (scene.rgb - image)
        mask = (cover > 0.5) * np.uint8(scene.label + 1)
        return Sample(
            (image + 0.5).astype(np.uint8), scene.label, self._caption(scene), mask, _tight(mask)
        )

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
        return self._coloured(scene, jitter=u[11:14], order=np.argsort(u[18:-1]))

    def captions(self) -> Iterator[str]:
        """All captions in order; no scene is rendered."""
        return (self._caption(self.scene(index)) for index in range(len(self)))

    def fingerprint(self) -> str:
        """Digest of the recipe and of the version of this module."""
        return hashlib.sha256(f"digit_scenes {VERSION} {self.recipe}".encode()).hexdigest()[:16]

    def where(self, index: int) -> str:
        """How reports name a record."""
        return f"digit_scenes/{self.recipe.split}/{index}"

    def _background(self, scene: Scene) -> np.ndarray:
        """The photograph behind `scene`, cut and lit, (size, size, 3) float32."""
        (top, left), size = scene.origin, self.recipe.size
        photograph = self.backgrounds[scene.photograph][scene.level]
        crop = photograph[top : top + size, left : left + size]
        crop = crop[:, ::-1] if scene.mirror else crop
        crop = crop + 255 * (1 - self.recipe.shade) if scene.dark else crop
        return np.minimum(crop * (self._plane @ scene.light), 255)

    def _coloured(self, scene: Scene, *, jitter: np.ndarray, order: np.ndarray) -> Scene:
        """Gives `scene` the first colour of `order` that stands out from what is behind it."""
        rows = slice(int(scene.top), math.ceil(scene.top + scene.tall))
        columns = slice(int(scene.left), math.ceil(scene.left + scene.tall))
        behind = self._background(scene)[rows, columns].mean((0, 1))
        depth = DARKER if scene.dark else 1.0  # of the jitter too, or the colour words come untrue
        palette = depth * _PALETTE
        lead = (-1 if scene.dark else 1) * ((palette - behind) @ _LUMINANCE)
        enough = [colour for colour in order if lead[colour] >= self.recipe.contrast]
        chosen = enough[0] if enough else int(np.argmax(lead))
        rgb = np.clip(palette[chosen] + depth * JITTER * (2 * jitter - 1), 0, 255).astype(
            np.float32
        )
        name = tuple(COLOURS)[chosen]
        colour = DARK_NAMES.get(name, f"dark {name}") if scene.dark else name
        return scene._replace(colour=colour, rgb=rgb)

    def _cover(self, scene: Scene) -> np.ndarray:
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
        digit = DIGITS[scene.label]
        return f"a {self._size(scene)} {scene.colour} {digit} on a photograph of {noun}, " + (
            self._place(scene)
        )

    def _size(self, scene: Scene) -> str:
        """Which third of the range of heights the digit is in, as a word."""
        low, high = (bound * self.recipe.size for bound in self.recipe.digit)
        third = 3 * (scene.tall - low) / max(high - low, 1e-9)
        return ("small", "medium", "large")[min(int(third), 2)]

    def _place(self, scene: Scene) -> str:
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


@functools.cache
def _glyphs(split: str) -> tuple[tuple[Image.Image, ...], tuple[np.ndarray, ...]]:
    """All 1797 digits with a blank margin, and the numbers of those of `split` by class."""
    digits = _package("sklearn.datasets").load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
    glyphs = tuple(Image.fromarray(np.pad(glyph, MARGIN)) for glyph in grey)
    numbers = np.arange(len(glyphs))
    chosen = numbers < TRAIN_DIGITS if split == "train" else numbers >= TRAIN_DIGITS
    return glyphs, tuple(np.flatnonzero(chosen & (digits.target == c)) for c in range(10))


@functools.cache
def _backgrounds(
    size: int, clutter: float, shade: float, split: str
) -> tuple[tuple[np.ndarray, ...], ...]:
    """The part of every photograph that `split` may use, at each of `LEVELS`; read-only."""
    return tuple(
        tuple(
            _part(_load(photograph), round(level * size), clutter, shade, split) for level in LEVELS
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
def _load(photograph: Photograph) -> Image.Image:
    """Decodes a photograph from the wheel that carries it."""
    if photograph.package == "sklearn":
        pixels = _package("sklearn.datasets").load_sample_image(photograph.name)
    else:
        pixels = getattr(_package("skimage.data"), photograph.name)()
    image = Image.fromarray(np.asarray(pixels)).convert("RGB")
    image.thumbnail((640, 640), Image.Resampling.BICUBIC)  # enough for scenes of 128 pixels
    return image


def _package(name: str):
    """Imports a module of the `scenes` extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"digit_scenes needs {name.partition('.')[0]}; run: pip install 'm3i_jax[scenes]'"
        ) from error
