"""Views of one person for top-down key points: the box widened, moved, scaled, turned, mirrored.

mmpose's pipeline, https://github.com/open-mmlab/mmpose (`GetBBoxCenterScale`, `RandomFlip`,
`RandomHalfBody`, `RandomBBoxTransform`, `TopdownAffine` with `use_udp`), of ViTPose (Xu et al.
2022, https://arxiv.org/abs/2204.12484); Xie et al. 2022, https://arxiv.org/abs/2205.13543, turn
by 40 degrees.
"""

import dataclasses
import math
from statistics import NormalDist
from typing import Annotated, ClassVar, NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views import affine, annotated
from m3i_jax.data.views.annotated import Wanted
from m3i_jax.ranges import Ascending, Local, Pixels, Range, Share
from m3i_jax.types import Array, Batch

PADDING = 1.25  # sides of a view, in sides of its person's box
HALF_PADDING = 1.5  # the same of a half body, in sides of the box around its points
LEAST, LEAST_UPPER, LEAST_LOWER = 9, 2, 3  # labelled points: of a person that is halved; of halves
UPPER = 0.7  # probability of the upper half
Factor = Annotated[float, Range(0.05, 20, why="of a side")]
Padding = Annotated[float, Range(0.1, 10, why="sides of a view, in sides of its box")]


class Frame(NamedTuple):
    """A rectangle of an image.  centre: (2,) row and column.  extent: (2,) height and width."""

    centre: Array
    extent: Array


@dataclasses.dataclass(frozen=True)
class PersonCrops:
    """One person or object by its box, moved, scaled and turned, with its key points: pose.

    size: height of the views.   width: of the views; None = as high. The box is widened to it.
    padding: sides of a view in sides of the box.
    flip: probability of the mirror image.
    half_body: probability that a person with 9 labelled points or more is shown by half.
    shift, shift_share: largest move in sides of the frame, either way; and its probability.
    scale: range of the factor of the sides.
    rotation, rotation_share: largest turn in degrees, either way; and its probability.
    views: names of the views.   local: there are no small ones.   repeats: as of `Crops`.

    Move, factor and turn are normal, cut off at a standard deviation, which is half of their range.
    A record without a box is shown as a whole.
    """

    size: Pixels = 256
    width: Pixels | None = None
    padding: Padding = PADDING
    flip: Share = 0.5
    half_body: Share = 0.3
    shift: Annotated[float, Range(0, 1)] = 0.16
    shift_share: Share = 0.3
    scale: Annotated[tuple[Factor, Factor], Ascending()] = (0.5, 1.5)
    rotation: Annotated[float, Range(0, 180)] = 80.0
    rotation_share: Share = 0.6
    views: tuple[str, ...] = ("a",)
    local: Local = 0
    repeats: Annotated[int, Range(1, 100)] = 1

    decode: ClassVar[str] = "exact"
    resize: ClassVar[str] = "exact"
    rand_augment: ClassVar[None] = None
    locals: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        """Refuses views of one pixel, between whose first and last there is nothing."""
        if min(self.shape) < 2:
            raise ConfigError(f"views of a person are {self.shape}, expected 2 x 2 pixels or more")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a view."""
        return self.size, self.width or self.size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Batch:
        """One row of a batch, of whose person nothing but the box is known."""
        return self._row(sample, rng, None)

    def annotated(self, sample: Sample, rng: np.random.Generator, wanted: Wanted) -> Batch:
        """One row of a batch, with what is said of the pixels of its views."""
        return self._row(sample, rng, wanted)

    def _row(self, sample: Sample, rng: np.random.Generator, wanted: Wanted | None) -> Batch:
        """Boxes are those of the views before these are turned."""
        images, boxes, said = {}, {}, {}
        for name in self.views:
            to_view, boxes[name] = self._drawn(sample, rng, wanted.upper if wanted else ())
            images[name] = affine.warped(sample.image, to_view, self.shape)
            if wanted:
                own = wanted.said(sample)
                seen = affine.seen(own, to_view, self.shape, swapped=wanted.swapped)
                said[name] = annotated.row(seen, self.shape, wanted)
        return Batch(images, boxes, np.int32(sample.label), annotations=said or None)

    def _drawn(self, sample, rng, upper) -> tuple[affine.Affine, Array]:
        """The map to a view, and its packed box. Every probability costs its draws, met or not."""
        wide = sample.image.shape[1]
        mirrored, halved, which = bool(rng.random() < self.flip), *rng.random(2)
        frame = frame_of(sample, padding=self.padding)
        if halved < self.half_body and upper and sample.points is not None:
            frame = half_body(sample.points, upper, prefer_upper=which < UPPER) or frame
        centre, extent = frame
        if mirrored:
            centre = np.array([centre[0], wide - centre[1]])
        moved, turned = rng.random(2)
        down, right, factor, angle = (_normal(u) for u in rng.random(4))
        if moved < self.shift_share:
            centre = centre + extent * self.shift * np.array([down, right])
        low, high = self.scale
        extent = extent * ((low + high) / 2 + factor * (high - low) / 2)
        angle = math.radians(self.rotation) * angle if turned < self.rotation_share else 0.0
        frame = grown(Frame(centre, extent), self.shape)
        mirror = wide if mirrored else 0
        to_view = affine.framed(*frame, self.shape, angle=angle, mirrored=mirror)
        return to_view, packed(frame, self.shape, wide, mirrored=mirrored)


def frame_of(sample: Sample, *, padding: float = PADDING) -> Frame:
    """A sample's box, widened; of one without a box all of its image."""
    box = sample.box if sample.box is not None else [0, 0, *sample.image.shape[:2]]
    top_left, extent = np.asarray(box[:2], np.float64), np.asarray(box[2:], np.float64)
    return Frame(top_left + extent / 2, extent * padding)


def half_body(points: Array, upper: tuple[int, ...], *, prefer_upper: bool) -> Frame | None:
    """Around the labelled points of one half of a body; None where too few are labelled.

    Args:
      points: (K, 3), see `Sample`.
      upper: numbers of those of the upper half.
      prefer_upper: which half, where both have enough.
    """
    labelled, is_upper = points[:, 2] > 0, np.isin(np.arange(len(points)), upper)
    enough_upper = (labelled & is_upper).sum() >= LEAST_UPPER
    enough_lower = (labelled & ~is_upper).sum() >= LEAST_LOWER
    if labelled.sum() < LEAST or not (enough_upper or enough_lower):
        return None
    takes_upper = enough_upper and (prefer_upper or not enough_lower)
    places = points[labelled & (is_upper == takes_upper), :2].astype(np.float64)
    extent = np.maximum(places.max(0) - places.min(0), 1)  # points may lie in one row
    return Frame(places.mean(0), extent * HALF_PADDING)


def grown(frame: Frame, size: tuple[int, int]) -> Frame:
    """The same frame, its short side grown to the shape of a view of this size."""
    height, width = frame.extent
    return frame._replace(
        extent=np.array(
            [max(height, width * size[0] / size[1]), max(width, height * size[1] / size[0])]
        )
    )


def packed(frame: Frame, size: tuple[int, int], wide: int, *, mirrored: bool = False) -> Array:
    """(6,) float32: the box of a view that shows a frame unbiased, see `affine.framed`.

    It is larger than the frame by half a pixel of the view on each side.
    """
    sides = np.array(size, np.float64)
    extent = frame.extent * sides / (sides - 1)
    return np.array([*(frame.centre - extent / 2), *extent, mirrored, wide], np.float32)


def person_box(sample: Sample, size: tuple[int, int], *, padding: float = PADDING) -> Array:
    """(6,) float32: where the evaluation view of a sample is, see `packed`."""
    frame = grown(frame_of(sample, padding=padding), size)
    return packed(frame, size, sample.image.shape[1])


_SPREAD = NormalDist()
_BELOW = _SPREAD.cdf(-1)


def _normal(uniform: float) -> float:
    """A number of N(0, 1) cut off at ±1, of one from 0 to 1."""
    return _SPREAD.inv_cdf(_BELOW + uniform * (1 - 2 * _BELOW))
