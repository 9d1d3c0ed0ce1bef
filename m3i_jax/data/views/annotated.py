"""What is said of the pixels of an image, in a view of it: mirrored, cut and resized as that is.

Places are in pixels from the upper left corner, so the middle of the first pixel is at ½. A view of
h × w pixels that shows (top, left, height, width) of an image of width W, mirrored or not, has

    row = (y − top) h / height      column = (x − left) w / width,   W − x for x where mirrored

which is what packed boxes of `views.crops` say.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import annotation_names, sample_objects
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.protocol import Sample, Source, read
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.data.views import seen_objects
from m3i_jax.types import Array, Box, ViewAnnotations

UNKNOWN = 255  # the category of pixels that nobody has named
PLACES = 100  # for objects of a view; no training image of COCO has more than 93
EDGE = 0.01  # of a pixel: what float32 leaves open of where a long side ends


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which annotations views carry.

    names: "mask", "box", "depth", "points", "objects".
    points: how many key points each image has, where these are among them.
    swapped: numbers of key points that change places in a mirror image, as left and right eye.
    upper: numbers of those of the upper body, which `person_crops` may show alone.
    categories: how many a mask may name, beside `UNKNOWN`; 0 = any.
    kinds: how many categories objects may have; 0 = any.
    places: for how many objects of a view there is room.
    side: of the masks of objects, each in the frame of its box; 0 = they have none.
    shown: how many images show each category of objects, where that is asked for; () = it is not.
    """

    names: Sequence[str]
    points: int = 0
    swapped: Sequence[tuple[int, int]] = ()
    upper: Sequence[int] = ()
    categories: int = 0
    kinds: int = 0
    places: int = PLACES
    side: int = 0
    shown: Sequence[float] = ()

    def __post_init__(self):
        """Refuses what no record has."""
        known = [name for name in Annotations._fields if name in ViewAnnotations._fields]
        for name in self.names:
            if name not in known:
                raise ConfigError(f"there are no annotations '{name}'{nearest(name, known)}")
        if ("points" in self.names) != (self.points > 0):
            raise ConfigError(
                f"annotations are {[*self.names]} with {self.points} key points an image; these "
                "are wanted by name and by number, or not at all"
            )
        if wrong := [pair for pair in self.swapped if not set(pair) <= {*range(self.points)}]:
            raise ConfigError(f"{wrong[0]} change places, but there are {self.points} key points")

    @classmethod
    def of(cls, source: Source, *names: str) -> "Wanted":
        """These annotations of a source, which says what its key points are.

        Raises:
          ConfigError: key points are asked for, and it does not say.
        """
        if "points" not in names:
            return cls(names)
        skeleton = annotation_names.skeleton(source)
        return cls(names, len(skeleton.names), skeleton.swapped, skeleton.upper)

    @property
    def room(self) -> dict[str, Any]:
        """What `seen_objects.packed` has to know of a row of a batch."""
        return dict(places=self.places, side=self.side, shown=self.shown)

    def said(self, sample: Sample) -> Annotations:
        """What is wanted of a sample, in pixels of its image.

        Raises:
          ConfigError: it has another number of key points, or a category beyond those.
        """
        said = Annotations(**{name: getattr(sample, name) for name in self.names})
        if self.categories and said.mask is not None:
            highest = int(said.mask.max(initial=0, where=said.mask != UNKNOWN))
            if highest >= self.categories:
                raise ConfigError(
                    f"a mask names category {highest}, but there are {self.categories}, from 0; "
                    f"{UNKNOWN} is what nobody has named"
                )
        if self.kinds and said.objects is not None:
            highest = int(said.objects.categories.max(initial=0))
            if highest >= self.kinds:
                raise ConfigError(
                    f"an object is of category {highest}, but there are {self.kinds}, from 0"
                )
        if said.points is not None and len(said.points) != self.points:
            raise ConfigError(
                f"a sample has {len(said.points)} key points, but {self.points} of each are wanted"
            )
        return said


def require(source: Source, wanted: Wanted, *, looks: int = 8) -> None:
    """Refuses data of which none of a few records, spread over them, says what is wanted.

    Raises:
      ConfigError: that; it names what is not said.
    """
    numbers = np.unique(np.linspace(0, len(source) - 1, looks).astype(int)).tolist()
    records = [record for number in numbers if (record := read(source, number)) is not None]
    for name in wanted.names:
        if all(getattr(record, name) is None for record in records):
            raise ConfigError(
                f"the objective reads what is said of pixels, '{name}', of which none of "
                f"{len(records)} records of '{source.name}' that were looked at has any"
            )


def carried(sample: Sample, box: Array, size: tuple[int, int], wanted: Wanted) -> ViewAnnotations:
    """What a batch has of the annotations of a view: one row.

    What the sample does not say is `UNKNOWN`, 0, and not `present`; so is a box that is not seen.

    Args:
      box, size: see `seen`.

    Raises:
      ConfigError: it has another number of key points than is `wanted`, or a category beyond it.
    """
    said = seen(wanted.said(sample), box, size, swapped=wanted.swapped)
    return row(said, size, wanted, extent=shown(sample.image.shape[:2], box, size))


def shown(frame: tuple[int, int], box: Array, size: tuple[int, int]) -> tuple[float, float]:
    """Height and width of what of a view is image and no padding, which is on the right and below.

    frame: height and width of the image.   box, size: see `seen`.
    """
    where = Box.of(np.asarray(box, np.float64))
    rows = (frame[0] - where.top) * size[0] / where.height
    columns = (where.frame - where.left) * size[1] / where.width
    return min(float(rows), size[0]), min(float(columns), size[1])


def row(
    said: Annotations,
    size: tuple[int, int],
    wanted: Wanted,
    *,
    extent: tuple[float, float] | None = None,
) -> ViewAnnotations:
    """What a batch has of the annotations of a view, which are in pixels of it; see `carried`.

    extent: of what of the view is image, see `Objects`; None = all of it.
    """
    extent = np.float32(size if extent is None else extent)
    absent = ViewAnnotations(
        np.full(size, UNKNOWN, np.uint8),
        np.zeros(4, np.float32),
        np.zeros(size, np.float32),
        np.zeros((wanted.points, 3), np.float32),
        seen_objects.none(**wanted.room),
    )
    there = {name: value for name, value in said._asdict().items() if value is not None}
    if said.depth is not None:
        there["depth"] = np.where(np.isfinite(said.depth), said.depth, np.float32(0))
    if said.objects is not None:
        there["objects"] = seen_objects.packed(said.objects, **wanted.room)
    both = {name: there.get(name, getattr(absent, name)) for name in wanted.names}
    if "objects" in both:
        both["objects"] = both["objects"]._replace(extent=extent)
    return ViewAnnotations(
        **both,
        present={name: np.bool_(name in there) for name in wanted.names},
    )


def seen(
    said: Annotations,
    box: Array,
    size: tuple[int, int],
    *,
    swapped: Sequence[tuple[int, int]] = (),
) -> Annotations:
    """The annotations of a view.

    Masks and depth take the nearest pixel, as nothing lies between two categories, or in front of
    an edge and behind it; beyond the image they are `UNKNOWN` and 0. The values of depth stay: a
    view shows the same scene. A box is cut off at the edges, and is none where nothing of it is
    seen; a key point that is not seen has visibility 0.

    Args:
      said: of the image.
      box: (6,) float32, where the view was cut, as `crops.random_resized_crop` and `center_crop`
        give it; it may reach beyond the image.
      size: height and width of the view.
      swapped: numbers of key points that change places in a mirror image, as left and right eye.
    """
    placed = _placed(said, Box.of(np.asarray(box, np.float64)), size)
    return inside(placed, size, swapped=swapped if box[4] else ())


def inside(
    placed: Annotations, size: tuple[int, int], *, swapped: Sequence[tuple[int, int]] = ()
) -> Annotations:
    """Without what lies beyond the edges of a view of this size.

    placed: in pixels of the view.   swapped: numbers of key points that have changed places.
    """
    points = _renamed(_hidden(placed.points, size), swapped)
    said = placed.objects
    objects = None if said is None else seen_objects.cut_off(said, size)
    return placed._replace(box=_cut_off(placed.box, size), points=points, objects=objects)


def resized(said: Annotations, before: tuple[int, int], after: tuple[int, int]) -> Annotations:
    """The annotations of an image of (height, width) `before` that now is `after`."""
    if before == after:
        return said
    return _placed(said, Box.of(whole(*before).astype(np.float64)), after)


def whole(height: int, width: int, *, mirrored: bool = False) -> Array:
    """The packed box of a view of all of an image, or of its mirror image."""
    return np.array([0, 0, height, width, mirrored, width], np.float32)


def _plane(values: Array | None, where: Box, size: tuple[int, int], beyond: int) -> Array | None:
    """The (h, w) pixels of (H, W) that are nearest to those of the view."""
    if values is None:
        return None
    rows, above = _nearest(where.top, where.height, size[0], values.shape[0])
    columns, beside = _nearest(where.left, where.width, size[1], values.shape[1])
    columns = values.shape[1] - 1 - columns if where.flip else columns
    plane = values[rows[:, None], columns]
    plane[above], plane[:, beside] = beyond, beyond
    return plane


def _nearest(start: float, extent: float, count: int, limit: int) -> tuple[Array, Array]:
    """Of each pixel of a view the one of the image, and whether it is beyond all of these."""
    centres = start + (np.arange(count) + 0.5) * (extent / count)
    beyond = (centres < -EDGE) | (centres > limit + EDGE)
    return np.floor(centres).astype(np.int64).clip(0, limit - 1), beyond


def _placed(said: Annotations, where: Box, size: tuple[int, int]) -> Annotations:
    """All of them in the view, or beyond its edges."""
    box, points = said.box, said.points
    if box is not None:
        corners = np.sort(_places(np.stack([box[:2], box[:2] + box[2:]]), where, size), axis=0)
        box = np.concatenate([corners[0], corners[1] - corners[0]]).astype(np.float32)
    if points is not None:
        places = _places(points[:, :2], where, size)
        points = np.concatenate([places, points[:, 2:]], axis=1).astype(np.float32)
    mask, depth = _plane(said.mask, where, size, UNKNOWN), _plane(said.depth, where, size, 0)
    return Annotations(mask, box, depth, points, _moved(said.objects, where, size))


def _moved(
    objects: SampleObjects | None, where: Box, size: tuple[int, int]
) -> SampleObjects | None:
    """Objects and their outlines in pixels of a view, or beyond its edges."""
    if objects is None:
        return None
    return sample_objects.moved(
        objects,
        lambda places: _places(places, where, size),
        lambda pixels: _plane(pixels, where, size, 0),
        scale=float(size[0] / where.height * size[1] / where.width),
    )


def _places(places: Array, where: Box, size: tuple[int, int]) -> Array:
    """(..., 2) rows and columns of the image, in the view."""
    y, x = places[..., 0].astype(np.float64), places[..., 1].astype(np.float64)
    x = where.frame - x if where.flip else x
    rows = (y - where.top) * size[0] / where.height
    return np.stack([rows, (x - where.left) * size[1] / where.width], axis=-1)


def _cut_off(box: Array | None, size: tuple[int, int]) -> Array | None:
    """What of a box lies in the view; None = nothing."""
    if box is None:
        return None
    corners = np.stack([box[:2], box[:2] + box[2:]]).clip(0, size)
    extent = corners[1] - corners[0]
    return np.concatenate([corners[0], extent]).astype(np.float32) if (extent > 0).all() else None


def _hidden(points: Array | None, size: tuple[int, int]) -> Array | None:
    """Those beyond the edges have visibility 0."""
    if points is None:
        return None
    inside = ((points[:, :2] >= 0) & (points[:, :2] <= size)).all(axis=1)
    return np.concatenate([points[:, :2], points[:, 2:] * inside[:, None]], axis=1)


def _renamed(points: Array | None, swapped: Sequence[tuple[int, int]]) -> Array | None:
    if points is None or not swapped:
        return points
    points = points.copy()
    for one, other in swapped:
        points[[one, other]] = points[[other, one]]
    return points
