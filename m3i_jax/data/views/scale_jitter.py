"""Views of scenes for segmentation and depth: resized by a random factor, cut, padded, mirrored.

mmsegmentation's pipeline of ADE20K and Cityscapes, https://github.com/open-mmlab/mmsegmentation
(`configs/_base_/datasets/ade20k.py`), but for two things: shrunk images are antialiased, and
colours are left to `config.augment` (`distortion`).
"""

import dataclasses
import math
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image

from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views.annotated import EDGE, PLACES, UNKNOWN, Wanted, carried, seen
from m3i_jax.data.views.cut_depth import cut_depth
from m3i_jax.data.views.resizing import INTERPOLATIONS
from m3i_jax.ranges import Ascending, Local, Pixels, PositiveShare, Range, Share
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Batch

TRIES = 10  # crops that are looked at for one that shows several categories
Factor = Annotated[float, Range(0.05, 20, why="of a side")]
Level = Annotated[int, Range(0, 255)]
Places = Annotated[int, Range(1, 1000)]
Outlines = Annotated[int, Range(1, 512, why="cells")]
OUTLINES = 56  # twice the side of the masks that Mask R-CNN predicts
MEAN = (124, 116, 104)  # of ImageNet, which normalising makes 0


@dataclasses.dataclass(frozen=True)
class ScaleJitter:
    """Scenes resized by a random factor and cut, with masks and depth: segmentation and depth.

    size: height of the views.   width: of the views; None = as high.
    base: long and short side that an image is fitted into, its ratio kept, before the factor;
      None = it keeps its size.
    scale: range of the factor, uniform.
    lower: height and width of the part that is taken of each image, at the middle of its lower
      edge, before all else: KITTI's 352 x 1216; None = all of it.
    most: a crop in which one category has this share of the named pixels or more is drawn again,
      10 times; 1 takes any.
    flip: probability of the mirror image.
    fill: red, green, blue beside an image that is smaller than the view.
    interpolation: of the image, "bilinear" or "bicubic"; masks and depth take the nearest pixel.
    cut_depth: probability that a vertical strip of the image shows depth instead (`cut_depth`).
    diagonal: whether a cut is as far from the left as from the top, as a share of the room that
      there is (ViTDet); else each is drawn.
    objects: room for so many of a view; of more the largest stay.
    outlines: side of their masks, each in the frame of its box, where masks are learnt.
    views: names of the views.   local: there are no small ones.   repeats: as of `Crops`.
    """

    size: Pixels = 512
    width: Pixels | None = None
    base: tuple[Pixels, Pixels] | None = (2048, 512)
    scale: Annotated[tuple[Factor, Factor], Ascending()] = (0.5, 2.0)
    most: PositiveShare = 0.75
    flip: Share = 0.5
    lower: tuple[Pixels, Pixels] | None = None
    fill: tuple[Level, Level, Level] = MEAN
    interpolation: Annotated[str, OneOf(*INTERPOLATIONS)] = "bilinear"
    cut_depth: Share = 0.0
    diagonal: bool = False
    objects: Places = PLACES
    outlines: Outlines = OUTLINES
    views: tuple[str, ...] = ("a",)
    local: Local = 0
    repeats: Annotated[int, Range(1, 100)] = 1

    decode: ClassVar[str] = "exact"
    resize: ClassVar[str] = "exact"
    rand_augment: ClassVar[None] = None
    locals: ClassVar[tuple[str, ...]] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a view."""
        return self.size, self.width or self.size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Batch:
        """One row of a batch: (h, w, 3) uint8 images and (6,) float32 boxes."""
        return self._row(self._part(sample), rng)

    def annotated(self, sample: Sample, rng: np.random.Generator, wanted: Wanted) -> Batch:
        """The same row, with what is said of the pixels of its views."""
        sample = self._part(sample)
        row = self._row(sample, rng)
        said = {name: carried(sample, box, self.shape, wanted) for name, box in row.boxes.items()}
        return row._replace(annotations=said)

    def _row(self, sample: Sample, rng: np.random.Generator) -> Batch:
        image, images, boxes = sample.image, {}, {}
        if self.cut_depth and rng.random() < self.cut_depth and sample.depth is not None:
            image = cut_depth(image, sample.depth, rng)
        for name in self.views:
            boxes[name] = self._drawn(sample, rng)
            images[name] = shown(
                image, boxes[name], self.shape, fill=self.fill, interpolation=self.interpolation
            )
        return Batch(images=images, boxes=boxes, label=np.int32(sample.label))

    def _part(self, sample: Sample) -> Sample:
        """What is taken of a sample, in pixels of its own."""
        if self.lower is None:
            return sample
        image, box = lower_middle(sample.image, size=self.lower)
        said = Annotations(*(getattr(sample, name) for name in Annotations._fields))
        return sample._replace(image=image, **seen(said, box, image.shape[:2])._asdict())

    def _drawn(self, sample: Sample, rng: np.random.Generator) -> Array:
        """(6,) where the view is; it may reach beyond the image, on the right and below."""
        frame = sample.image.shape[:2]
        mirrored, factor = bool(rng.random() < self.flip), rng.uniform(*self.scale)
        sides = resized_sides(frame, self.base, factor=factor)
        box = self._cut(rng, frame, sides, mirrored)
        for _ in range(TRIES if self.most < 1 and sample.mask is not None else 0):
            if _varied(seen(Annotations(sample.mask), box, self.shape).mask, self.most):
                break
            box = self._cut(rng, frame, sides, mirrored)
        return box

    def _cut(self, rng, frame: tuple[int, int], sides: tuple[int, int], mirrored: bool) -> Array:
        """A view of an image that is resized from `frame` to `sides`, in pixels of the image."""
        room = (max(side - own, 0) for side, own in zip(sides, self.shape, strict=True))
        if self.diagonal:
            # detectron2's FixedSizeCrop, which rounds to whole pixels.
            share = rng.random()
            start = [int(share * count + 0.5) for count in room]
        else:
            start = [int(rng.integers(count + 1)) for count in room]
        y, x = frame[0] / sides[0], frame[1] / sides[1]
        box = [start[0] * y, start[1] * x, self.shape[0] * y, self.shape[1] * x]
        return np.array([*box, mirrored, frame[1]], np.float32)


def lower_middle(image: Array, *, size: tuple[int, int]) -> tuple[Array, Array]:
    """The middle of the lower edge of an image, as it is, and its packed box: what KITTI's depth is
    trained and measured on, 352 x 1216 (Uhrig et al. 2017, https://arxiv.org/abs/1708.06500).

    Of an image that is smaller all that there is.
    """
    height, width = (min(pair) for pair in zip(size, image.shape[:2], strict=True))
    top, left = image.shape[0] - height, (image.shape[1] - width) // 2
    box = np.array([top, left, height, width, 0, image.shape[1]], np.float32)
    return image[top:, left : left + width], box


def resized_sides(
    frame: tuple[int, int], base: tuple[int, int] | None, *, factor: float = 1.0
) -> tuple[int, int]:
    """Height and width of an image that is fitted into a long and a short side, its ratio kept.

    base: None takes the image's own size.   factor: both sides times this, rounded down before.
    """
    if base is None:
        gain = factor
    else:
        long, short = (max(1, int(side * factor)) for side in base)
        gain = min(long / max(frame), short / min(frame))
    return max(1, int(frame[0] * gain + 0.5)), max(1, int(frame[1] * gain + 0.5))


def shown(
    image: Array,
    box: Array,
    size: tuple[int, int],
    *,
    fill: tuple[int, int, int] = MEAN,
    interpolation: str = "bilinear",
) -> Array:
    """(h, w, 3) uint8: what a packed box shows of an image, `fill` where it reaches beyond.

    As the whole image, resized and then cut: filters look beyond the edges of the box.
    """
    top, left, height, width, mirrored, frame = map(float, box)
    tall, wide = (side / extent for side, extent in zip(size, (height, width), strict=True))
    # The pixels of the view that show the image and nothing beyond it.
    first = max(0, math.ceil(-top * tall - EDGE)), max(0, math.ceil(-left * wide - EDGE))
    last = (
        min(size[0], math.floor((image.shape[0] - top) * tall + EDGE)),
        min(size[1], math.floor((image.shape[1] - left) * wide + EDGE)),
    )
    view = np.empty((*size, 3), np.uint8)
    view[...] = fill
    if first[0] >= last[0] or first[1] >= last[1]:
        return view
    rows = [(edge / tall + top) for edge in (first[0], last[0])]
    columns = [(edge / wide + left) for edge in (first[1], last[1])]
    if mirrored:
        columns = [frame - columns[1], frame - columns[0]]
    rows, columns = np.clip(rows, 0, image.shape[0]), np.clip(columns, 0, image.shape[1])
    part = Image.fromarray(image).resize(
        (last[1] - first[1], last[0] - first[0]),
        INTERPOLATIONS[interpolation],
        box=(columns[0], rows[0], columns[1], rows[1]),
    )
    pixels = np.asarray(part)
    view[first[0] : last[0], first[1] : last[1]] = pixels[:, ::-1] if mirrored else pixels
    return view


def _varied(mask: Array, most: float) -> bool:
    """Whether several categories are there, none with a share of `most` of the named pixels."""
    counts = np.bincount(mask.ravel(), minlength=UNKNOWN + 1)[:UNKNOWN]
    return np.count_nonzero(counts) > 1 and counts.max() < most * counts.sum()
