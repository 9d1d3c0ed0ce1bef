"""Host views: random resized crops that remember where they were cut, and the evaluation crop.

The mirror image is taken before the cut, so that a box lives in its view's own, possibly flipped,
frame (SiameseIM's order). Everything else that augments an image runs on the device.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.data.samples import Sample
from m3i_jax.types import Batch

TRIES = 10  # torchvision's number of draws before the centre fallback
RATIO = (3 / 4, 4 / 3)


class Crop(NamedTuple):
    """A cut of an image in whole pixels of the frame that it lives in."""

    top: int
    left: int
    height: int
    width: int


@dataclasses.dataclass(frozen=True)
class TwoCrops:
    """The views of a training sample: one independent random resized crop for each name.

    size: height and width of the views.   scale: range of the share of the image's area.
    ratio: range of width / height, drawn log-uniformly.   flip: probability of the mirror image.
    views: names of the views; `("a",)` gives one crop.
    """

    size: int = 224
    scale: tuple = (0.08, 1.0)
    ratio: tuple = RATIO
    flip: float = 0.5
    views: tuple = ("a", "b")

    def __post_init__(self):
        """Refuses ranges that cannot be drawn from, and turns lists of a config into tuples."""
        for name in ("scale", "ratio", "views"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.size >= 1:
            raise ConfigError(f"crops.size is {self.size}, expected a positive number of pixels")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ConfigError(f"crops.scale is {self.scale}, expected 0 < low <= high <= 1")
        if len(self.ratio) != 2 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise ConfigError(f"crops.ratio is {self.ratio}, expected 0 < low <= high")
        if not 0 <= self.flip <= 1:
            raise ConfigError(f"crops.flip is {self.flip}, expected a probability")
        if not self.views or len(set(self.views)) != len(self.views):
            raise ConfigError(f"crops.views is {self.views}, expected one or more different names")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Batch:
        """One row of a batch: (size, size, 3) uint8 images, (6,) float32 boxes, an int32 label."""
        image = Image.fromarray(sample.image)
        cuts = {
            name: random_resized_crop(
                image, rng, size=self.size, scale=self.scale, ratio=self.ratio, flip=self.flip
            )
            for name in self.views
        }
        return Batch(
            images={name: view for name, (view, _) in cuts.items()},
            boxes={name: box for name, (_, box) in cuts.items()},
            label=np.int32(sample.label),
        )


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
    image: Image.Image | np.ndarray,
    rng: np.random.Generator,
    *,
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float] = RATIO,
    flip: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Mirrors `image` with probability `flip`, draws a crop of it and resizes that to `size`.

    Bicubic with antialiasing, rounded to uint8, as Pillow and hence torchvision resize.

    Returns:
      The view, (size, size, 3) uint8, and its packed box, (6,) float32: top, left, height and
      width in the frame after the mirroring, 1 if mirrored, and the width of the image.
    """
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    mirrored = bool(rng.random() < flip)
    crop = draw_crop(rng, image.height, image.width, scale=scale, ratio=ratio)
    # Mirroring the small view gives the same pixels as mirroring the large image before the cut,
    # up to one grey level of rounding, and costs less.
    left = image.width - crop.left - crop.width if mirrored else crop.left
    box = (left, crop.top, left + crop.width, crop.top + crop.height)
    # Cut first: `resize(box=...)` would let the filter see beyond the edges of the crop.
    view = np.asarray(image.crop(box).resize((size, size), Image.Resampling.BICUBIC))
    view = view[:, ::-1] if mirrored else view
    return view, np.array([*crop, mirrored, image.width], np.float32)


def center_crop(
    image: np.ndarray, *, size: int, ratio: float = 0.875, nearest: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The evaluation view: short side to round(size / ratio), then the middle (size, size).

    Args:
      image: (H, W, 3) or (H, W) uint8.
      size: height and width of the view.
      ratio: share of the short side that is kept; 1 resizes a square image and cuts nothing.
      nearest: for category masks, which must not be interpolated.

    Returns:
      The view, and its packed box, (6,) float32, in pixels of `image`.
    """
    short = round(size / ratio)
    height, width = image.shape[:2]
    scale = short / min(height, width)
    # The long side is truncated and the offset rounded, as torchvision's Resize and CenterCrop do.
    tall = short if height <= width else int(short * height / width)
    wide = short if width <= height else int(short * width / height)
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.BICUBIC
    resized = np.asarray(Image.fromarray(image).resize((wide, tall), how))
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    box = np.array([top / scale, left / scale, size / scale, size / scale, 0, width], np.float32)
    return resized[top : top + size, left : left + size], box


def describe(crops: TwoCrops) -> Mapping[str, object]:
    """The settings of `crops` as plain data, for fingerprints."""
    return {"transform": type(crops).__name__, **dataclasses.asdict(crops)}
