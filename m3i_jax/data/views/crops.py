"""Host views: random resized crops that remember where they were cut, and the evaluation crop.

The mirror image is taken before the cut, so that a box lives in its view's own, possibly flipped,
frame (SiameseIM's order). Everything else that augments an image runs on the device, but for
RandAugment, whose operations are Pillow's.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.build import ConfigError, call, nearest
from m3i_jax.data.sources import fast_decoding
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views import resizing
from m3i_jax.data.views.annotated import Wanted, carried
from m3i_jax.data.views.rand_augment import RandAugment
from m3i_jax.data.views.resizing import INTERPOLATIONS, NEEDS, RESIZES, Box, Cuttable
from m3i_jax.ranges import Ascending, Local, Pixels, Range, Share
from m3i_jax.texts import OneOf
from m3i_jax.types import Batch

TRIES = 10  # torchvision's number of draws before the centre fallback
RATIO = (3 / 4, 4 / 3)
Area = Annotated[float, Range(1e-3, 1, why="a share of the area of the image")]
Scale = Annotated[tuple[Area, Area], Ascending()]
Shape = Annotated[float, Range(0.05, 20, why="width over height")]
LONG = 16  # times as many pixels as its view has, and a resized image is cut before
LOCAL = re.compile(r"l(0|[1-9][0-9]*)")  # names of local views


class Crop(NamedTuple):
    """A cut of an image in whole pixels of the frame that it lives in."""

    top: int
    left: int
    height: int
    width: int


@dataclasses.dataclass(frozen=True)
class Crops:
    """The views of a training sample: independent random resized crops, each with its name.

    size: height and width of the views.   scale: range of the share of the image's area.
    ratio: range of width / height, drawn log-uniformly.   flip: probability of the mirror image.
    views: names of the views; `("a",)` gives one crop.
    local: number of small views besides, "l0", "l1", ... (multi-crop: DINO; MSN's focal views).
    local_size, local_scale: of those; DINO's by default, MSN's scale is (0.05, 0.3).
    interpolation: of the cut, "bicubic" (MAE, DINO, BEiT) or "bilinear", which is torchvision's
      default (MoCo, SimMIM, MSN).
    decode: "exact" is Pillow; "fast" is libjpeg-turbo itself, and JPEGs that are larger than every
      possible view needs are decoded at a half, a quarter or an eighth (`fast_decoding`).
    resize: "exact" is Pillow; "fast" the same filters, vectorised; "aliased" is OpenCV, without
      antialiasing (`resizing`); these need `pip install 'm3i_jax[fast]'`. "device" leaves it to the
      step: twice the side is sent there, and the host does little but decode.
    rand_augment: settings of `RandAugment` on every view, None = off; boxes know nothing of it.
    repeats: rows in succession that the stream makes of a sample each time it takes it (repeated
      augmentation, Hoffer et al. 2020, https://arxiv.org/abs/1901.09335).

    Local views are drawn last, so the others do not depend on how many there are.
    """

    size: Pixels = 224
    scale: Scale = (0.08, 1.0)
    ratio: Annotated[tuple[Shape, Shape], Ascending()] = RATIO
    flip: Share = 0.5
    views: tuple[str, ...] = ("a", "b")
    local: Local = 0
    local_size: Pixels = 96
    local_scale: Scale = (0.05, 0.4)
    interpolation: Annotated[str, OneOf(*INTERPOLATIONS)] = "bicubic"
    decode: Annotated[str, OneOf("exact", "fast")] = "exact"
    resize: Annotated[str, OneOf(*RESIZES)] = "exact"
    rand_augment: dict | None = None
    repeats: Annotated[int, Range(1, 100)] = 1

    def __post_init__(self):
        """Refuses ranges that cannot be drawn from, and turns what a config has into ours."""
        for name in ("scale", "ratio", "views", "local_scale"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.rand_augment, Mapping):
            policy = call(RandAugment, self.rand_augment, what="config.crops.rand_augment")
            object.__setattr__(self, "rand_augment", policy)
        for name, least in (("size", 1), ("local", 0), ("local_size", 1), ("repeats", 1)):
            if not getattr(self, name) >= least:
                raise ConfigError(
                    f"crops.{name} is {getattr(self, name)}, expected {least} or more"
                )
        for name in ("scale", "local_scale"):
            value = getattr(self, name)
            if len(value) != 2 or not 0 < value[0] <= value[1] <= 1:
                raise ConfigError(f"crops.{name} is {value}, expected 0 < low <= high <= 1")
        if len(self.ratio) != 2 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise ConfigError(f"crops.ratio is {self.ratio}, expected 0 < low <= high")
        if self.interpolation not in INTERPOLATIONS:
            raise ConfigError(
                f"crops.interpolation is {self.interpolation!r}"
                f"{nearest(str(self.interpolation), INTERPOLATIONS)}"
            )
        self._require_libraries()
        if not 0 <= self.flip <= 1:
            raise ConfigError(f"crops.flip is {self.flip}, expected a probability")
        if not self.views or len({*self.views, *self.locals}) != len(self.views) + self.local:
            raise ConfigError(f"crops.views is {self.views}, expected one or more different names")

    def _require_libraries(self) -> None:
        """Refuses what is not installed before anything is read."""
        if self.resize in NEEDS:
            resizing.require(*NEEDS[self.resize], f"crops.resize={self.resize!r}")
        if self.decode == "fast":
            resizing.require("simplejpeg", "simplejpeg", "crops.decode='fast'")
        if self.resize == "device" and self.rand_augment:
            raise ConfigError(
                "crops.resize='device' makes the views in the step, but crops.rand_augment changes "
                "them on the host; config.augment.a.rand_augment is there"
            )

    def reduction(self, height: int, width: int) -> int:
        """By how much an image may be smaller, so that no view that can be drawn lacks pixels.

        The short side of a crop is √(scale H W · shape) or more, shape the narrowest of `ratio`.
        """
        shape = min(self.ratio[0], 1 / self.ratio[1])
        sides = [(self.size, self.scale)] + [(self.local_size, self.local_scale)] * bool(self.local)
        room = min(math.sqrt(low * height * width * shape) / size for size, (low, _) in sides)
        return next((by for by in fast_decoding.SMALLER if by <= room), 1)

    @property
    def locals(self) -> tuple[str, ...]:
        """Names of the local views."""
        return tuple(f"l{i}" for i in range(self.local))

    @property
    def sides(self) -> dict[str, int]:
        """Name -> height and width, of all views in the order in which they are drawn."""
        return dict.fromkeys(self.views, self.size) | dict.fromkeys(self.locals, self.local_size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Batch:
        """One row of a batch: uint8 images, (6,) float32 boxes, an int32 label.

        Images are (size, size, 3), local ones (local_size, local_size, 3); where the device
        resizes, `Batch.cuts` has them, twice as high and wide.
        """
        image = RESIZES[self.resize](sample.image)
        scales = dict.fromkeys(self.locals, self.local_scale)
        crop = dict(ratio=self.ratio, flip=self.flip, interpolation=self.interpolation)
        images, boxes = {}, {}
        for name, size in self.sides.items():
            crop["scale"] = scales.get(name, self.scale)
            view, boxes[name] = random_resized_crop(image, rng, size=size, **crop)
            images[name] = self.rand_augment(view, rng) if self.rand_augment else view
        cuts = None
        if self.resize == "device":
            images, cuts = {}, {self.interpolation: images}
        return Batch(images=images, boxes=boxes, label=np.int32(sample.label), cuts=cuts)

    def annotated(self, sample: Sample, rng: np.random.Generator, wanted: Wanted) -> Batch:
        """The same row, with what is said of the pixels of its views."""
        row = self(sample, rng)
        said = {
            name: carried(sample, row.boxes[name], (side, side), wanted)
            for name, side in self.sides.items()
        }
        return row._replace(annotations=said)


def split_views(names: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """`views` and `local` of `Crops` for the views that a method looks at.

    {"b", "a", "l1", "l0"} -> (("a", "b"), 2).

    Raises:
      ConfigError: local views that are not numbered from 0 without a gap.
    """
    names = set(names)
    small = {name for name in names if LOCAL.fullmatch(name)}
    if small != {f"l{i}" for i in range(len(small))}:
        raise ConfigError(
            f"the objective looks at the local views {', '.join(sorted(small))}; "
            "they must be numbered l0, l1, ... without a gap"
        )
    return tuple(sorted(names - small)), len(small)


def draw_crop(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float] = RATIO,
) -> Crop:
    """Draws a crop of a (height, width) image as torchvision's RandomResizedCrop does.

    area ~ U(scale) H W and log(w / h) ~ U(log ratio) until the crop fits, `TRIES` times; then the
    largest centred crop whose ratio is within `ratio`.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(TRIES):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(low, high))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return Crop(int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w)
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h = min(height, max(1, round(width / aspect)))
    w = min(width, max(1, round(height * aspect)))
    return Crop((height - h) // 2, (width - w) // 2, h, w)


def random_resized_crop(
    image: Cuttable | np.ndarray,
    rng: np.random.Generator,
    *,
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float] = RATIO,
    flip: float = 0.5,
    interpolation: str = "bicubic",
) -> tuple[np.ndarray, np.ndarray]:
    """Mirrors `image` with probability `flip`, draws a crop of it and resizes that to `size`.

    By one of `INTERPOLATIONS`, rounded to uint8; an array as Pillow and hence torchvision resize.

    Returns:
      The view, (size, size, 3) uint8, and its packed box, (6,) float32: top, left, height and
      width in the frame after the mirroring, 1 if mirrored, and the width of the image.
    """
    image = resizing.Exact(image) if isinstance(image, np.ndarray) else image
    mirrored = bool(rng.random() < flip)
    crop = draw_crop(rng, image.height, image.width, scale=scale, ratio=ratio)
    left = image.width - crop.left - crop.width if mirrored else crop.left
    box = Box(left, crop.top, left + crop.width, crop.top + crop.height)
    view = image.cut(box, size, interpolation, mirrored=mirrored)
    return view, np.array([*crop, mirrored, image.width], np.float32)


def center_crop(
    image: np.ndarray, *, size: int, ratio: float = 0.875
) -> tuple[np.ndarray, np.ndarray]:
    """The evaluation view: short side to round(size / ratio), then the middle (size, size).

    Args:
      image: (H, W, 3) uint8.
      size: height and width of the view.
      ratio: share of the short side that is kept; 1 resizes a square image and cuts nothing.

    Returns:
      The view, and its packed box, (6,) float32, in pixels of `image`.
    """
    short = round(size / ratio)
    height, width = image.shape[:2]
    # The long side is truncated and the offset rounded, as torchvision's Resize and CenterCrop do.
    tall = short if height <= width else int(short * height / width)
    wide = short if width <= height else int(short * width / height)
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    y, x = height / tall, width / wide  # pixels of the image to one of the view
    box = np.array([top * y, left * x, size * y, size * x, 0, width], np.float32)
    if tall * wide > LONG * size**2:
        return _middle(image, (top, size, tall, height), (left, size, wide, width)), box
    resized = np.asarray(Image.fromarray(image).resize((wide, tall), Image.Resampling.BICUBIC))
    return resized[top : top + size, left : left + size], box


def _middle(image: np.ndarray, rows: tuple, columns: tuple) -> np.ndarray:
    """A part of the resized image without resizing the rest: 1 x 16000 pixels become 256 x 4096000.

    Equal to a grey level, but for which of the two passes Pillow takes first.

    rows, columns: first pixel, their number, and the side, of the resized image; the image's side.
    """
    top, bottom, up, down = _needed(*rows)
    left, right, west, east = _needed(*columns)
    part, box = Image.fromarray(image[top:bottom, left:right]), (west, up, east, down)
    return np.asarray(part.resize((columns[1], rows[1]), Image.Resampling.BICUBIC, box=box))


def _needed(first: int, count: int, whole: int, source: int) -> tuple[int, int, float, float]:
    """First and last pixel of the source that a bicubic filter looks at, and the part in them."""
    scale = source / whole
    low, high = first * scale, (first + count) * scale
    margin = math.ceil(2 * max(scale, 1)) + 1
    start, stop = max(0, math.floor(low) - margin), min(source, math.ceil(high) + margin)
    return start, stop, low - start, min(high, source) - start


def describe(crops: Crops) -> Mapping[str, object]:
    """The settings of `crops` that decide what it draws, as plain data, for fingerprints."""
    # What is off says nothing; older runs do not know it, and go on.
    off = {
        "local": not crops.local,
        "interpolation": crops.interpolation == "bicubic",
        "decode": crops.decode == "exact",
        "resize": crops.resize == "exact",
        "rand": not crops.rand_augment,
        "repeats": crops.repeats == 1,
    }
    silent = tuple(prefix for prefix, is_off in off.items() if is_off)
    fields = {
        name: value
        for name, value in dataclasses.asdict(crops).items()
        if not name.startswith(silent)
    }
    # The name of the transform in every fingerprint so far: another would refuse to resume.
    return {"transform": "TwoCrops", **fields}
