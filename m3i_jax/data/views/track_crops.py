"""Two views of a video for a tracker: a region to be searched, and a template of the object.

Lin et al. 2022 (SwinTrack), https://arxiv.org/abs/2112.00995, with the constants of
https://github.com/LitingLin/SwinTrack (MIT).
"""

import dataclasses
import math
from typing import Annotated, ClassVar

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.data.views import annotated
from m3i_jax.data.views.annotated import Wanted
from m3i_jax.data.views.scale_jitter import shown
from m3i_jax.ranges import Local, Pixels, Range
from m3i_jax.types import Array, Batch

SEARCH, TEMPLATE = "a", "b"  # the views
LEAST = 10.0  # pixels of the side of a region
TRIES = 100  # of a region that shows some of the object
Area = Annotated[float, Range(1, 100)]


@dataclasses.dataclass(frozen=True)
class TrackCrops:
    """View a shows where an object may be, view b what it looks like, of two frames of a video.

    A view is a square of the side √((w + c)(h + c)), c = (area − 1)(w + h)/2, around the box. That
    of the search is moved and stretched, so that the object is anywhere in it and of any size; one
    that shows nothing of it is drawn again. What is beyond a frame has the mean of its colours.

    size: side of view a.   template: side of view b.
    search_area, template_area: how large the views are, see above; 4 for a region twice as high and
      wide as the square of a template of 2.
    scale: of both sides of the region each a factor e^(scale · N(0, 1)).
    shift: of the region, uniform to either side, half of so many mean sides of the box.
    views: a and b.   local: there are no small ones.   repeats: as of `Crops`.
    """

    size: Pixels = 224
    template: Pixels = 112
    search_area: Area = 4.0
    template_area: Area = 2.0
    scale: Annotated[float, Range(0, 2)] = 0.25
    shift: Annotated[float, Range(0, 20)] = 3.0
    views: tuple[str, ...] = (SEARCH, TEMPLATE)
    local: Local = 0
    repeats: Annotated[int, Range(1, 100)] = 1

    decode: ClassVar[str] = "exact"
    resize: ClassVar[str] = "exact"
    rand_augment: ClassVar[None] = None
    locals: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        """Refuses views that are not the two."""
        if {*self.views} - {SEARCH, TEMPLATE}:
            raise ConfigError(
                f"crops of tracking are the views a and b, but {', '.join(self.views)} are looked "
                "at: they go with the objective 'swin_track'"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Batch:
        """One row of a batch, (size, size, 3) and (template, template, 3) uint8."""
        return self._row(sample, rng, None)

    def annotated(self, sample: Sample, rng: np.random.Generator, wanted: Wanted) -> Batch:
        """The same, with the object of the region in pixels of it."""
        return self._row(sample, rng, wanted)

    def _row(self, sample: Sample, rng: np.random.Generator, wanted: Wanted | None) -> Batch:
        if sample.box is None or sample.other is None or sample.other.box is None:
            raise ConfigError(
                "crops of tracking are of pairs of frames with a box each, as of videos; this "
                "record is none"
            )
        boxes = {SEARCH: self._drawn(sample, rng)}
        frames = {SEARCH: (sample.image, self.size)}
        other = sample.other
        boxes[TEMPLATE] = region(other.box, other.image.shape[1], area=self.template_area)
        frames[TEMPLATE] = (other.image, self.template)
        images = {name: square(image, boxes[name], size) for name, (image, size) in frames.items()}
        said = {SEARCH: self._said(sample, boxes[SEARCH], wanted)} if wanted else None
        return Batch(images, boxes, np.int32(sample.label), annotations=said)

    def _said(self, sample: Sample, box: Array, wanted: Wanted):
        """The object in pixels of the region."""
        size = self.size, self.size
        seen = annotated.seen(Annotations(objects=alone(sample.box)), box, size)
        return annotated.row(seen, size, wanted)

    def _drawn(self, sample: Sample, rng: np.random.Generator) -> Array:
        """(6,) a region that shows some of the object; unmoved where none of many does."""
        frame = sample.image.shape[1]
        for _ in range(TRIES):
            stretch = np.exp(self.scale * rng.standard_normal(2))
            moved = rng.uniform(-0.5, 0.5, 2) * self.shift
            box = region(sample.box, frame, area=self.search_area, stretch=stretch, moved=moved)
            if _meets(sample.box, box):
                return box
        return region(sample.box, frame, area=self.search_area)


def alone(box: Array) -> SampleObjects:
    """A box, top, left, height and width, as the one object of an image."""
    corners = np.concatenate([box[:2], box[:2] + box[2:]])[None].astype(np.float32)
    area = np.float32([box[2] * box[3]])
    return SampleObjects(corners, np.zeros(1, np.int32), np.zeros(1, bool), area)


def region(
    box: Array,
    frame: int,
    *,
    area: float,
    stretch: Array = np.ones(2),
    moved: Array = np.zeros(2),
) -> Array:
    """(6,) the packed box of a square around an object, which may reach beyond its frame.

    Args:
      box: (4,) top, left, height and width of the object.
      frame: width of the frame.
      area: of the square, about so many times that of the box; see `TrackCrops`.
      stretch: factors of its height and width.
      moved: rows and columns, in mean sides of the box as it is shown.
    """
    height, width = (max(float(side), 1.0) for side in box[2:])
    more = (area - 1) * (height + width) / 2
    side = max(math.sqrt((height + more) * (width + more)), LEAST)
    sides = side * np.asarray(stretch, np.float64)
    # The box as it is shown is smaller where the region is larger.
    shown_sides = np.array([height, width]) / stretch
    middle = np.asarray(box[:2], np.float64) + np.asarray(box[2:], np.float64) / 2
    middle = middle + moved * shown_sides.mean() * stretch
    return np.array([*(middle - sides / 2), *sides, 0, frame], np.float32)


def square(image: Array, box: Array, size: int) -> Array:
    """(size, size, 3) uint8: what a packed box shows, the mean colour of the image beyond it."""
    fill = tuple(int(x) for x in image.mean((0, 1)).round())
    return shown(image, box, (size, size), fill=fill)


def _meets(own: Array, box: Array) -> bool:
    """Whether some of an object is in a region."""
    first = np.maximum(own[:2], box[:2])
    last = np.minimum(own[:2] + own[2:], box[:2] + box[2:4])
    return bool((last > first).all())
