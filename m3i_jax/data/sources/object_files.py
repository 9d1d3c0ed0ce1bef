"""Objects in COCO's JSON, and in LVIS's: by image, in arrays, as millions of them are read.

https://cocodataset.org/#format-data, https://www.lvisdataset.org/dataset. Read within bounds, as
others have written it.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import coco_json, outlines
from m3i_jax.data.sources.outlines import Outline, Runs
from m3i_jax.data.sources.sample_objects import LEAST, SampleObjects
from m3i_jax.types import Array


class Pictures(NamedTuple):
    """The I images of a file.

    number: (I,) int64, their ids.   files: their names.   size: (I, 2) int64 height, width.
    negative, not_exhaustive: LVIS's, numbers of categories of each that none is there of, and of
      which not all are labelled.
    """

    number: Array
    files: tuple[str, ...]
    size: Array
    negative: tuple[tuple[int, ...], ...]
    not_exhaustive: tuple[tuple[int, ...], ...]


class Kinds(NamedTuple):
    """The categories of a file, in the order of their ids, which `number` has.

    frequency: of each LVIS's r, c or f; () = it does not say.
    """

    names: tuple[str, ...]
    number: tuple[int, ...]
    frequency: tuple[str, ...] = ()


class Shapes(NamedTuple):
    """Outlines of N objects in few arrays.

    places: (P, 2) float32.   polygons: (Q + 1,) where each begins.   objects: (N + 1,) the polygon
    that each begins with.   runs: of the objects that are pixels.
    """

    places: Array
    polygons: Array
    objects: Array
    runs: Mapping[int, Runs]

    def outline(self, number: int) -> Outline | None:
        """That of an object; None = it has none."""
        if number in self.runs:
            return self.runs[number]
        first, last = self.objects[number : number + 2].tolist()
        ends = self.polygons[first : last + 1].tolist()
        parts = tuple(self.places[a:b] for a, b in zip(ends, ends[1:], strict=False))
        return parts or None


class Objects(NamedTuple):
    """All objects of a file that records have, image by image.

    first: (I + 1,) which object each image begins with.   left_out: how many were not taken, why.
    """

    pictures: Pictures
    kinds: Kinds
    first: Array
    corners: Array
    categories: Array
    crowd: Array
    area: Array
    shapes: Shapes
    left_out: Mapping[str, int]

    def of(self, image: int) -> SampleObjects:
        """Those of the image with this place."""
        part = slice(*self.first[image : image + 2].tolist())
        shapes = tuple(self.shapes.outline(n) for n in range(part.start, part.stop))
        outlines_ = None if all(one is None for one in shapes) else shapes
        columns = (self.corners, self.categories, self.crowd, self.area)
        return SampleObjects(*(column[part] for column in columns), outlines_)


class Truth(NamedTuple):
    """All N objects of a file as it has them: what predictions are held against.

    image: (N,) ids.   corners: (N, 4) float64.   category: (N,), from 0.   area: (N,) float64, NaN
    = nobody says.   crowd: (N,) bool.   outlines: of each what its `segmentation` is, or None.
    """

    pictures: Pictures
    kinds: Kinds
    image: Array
    corners: Array
    category: Array
    area: Array
    crowd: Array
    outlines: tuple[Any, ...]


def read(file: Path) -> Objects:
    """The objects of a file of annotations, for records.

    Left out are those of images that are not listed, of a broken outline, and without a box in
    their image.

    Raises:
      ConfigError: it cannot be read, or is no such file.
    """
    said = coco_json.content(file)
    try:
        pictures, kinds = _pictures(said), _kinds(coco_json.entries(said, "categories"))
        place = {number: n for n, number in enumerate(pictures.number.tolist())}
        category = {number: n for n, number in enumerate(kinds.number)}
        rows, left_out, sizes = [], {}, pictures.size.tolist()
        for one in coco_json.entries(said, "annotations"):
            row = _named(one, place, category, sizes)
            if isinstance(row, str):
                left_out[row] = left_out.get(row, 0) + 1
            else:
                rows.append(row)
        return _gathered(pictures, kinds, rows, left_out)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = coco_json.why(error)
        raise ConfigError(f"'{file}' is no file of COCO's objects: {why}") from error


def truth(file: Path) -> Truth:
    """All objects of a file of annotations, in its order; of a broken outline nothing is said, and
    a box that is turned inside out has no area.

    Raises:
      ConfigError: it cannot be read, or is no such file.
    """
    said = coco_json.content(file)
    try:
        pictures, kinds = _pictures(said), _kinds(coco_json.entries(said, "categories"))
        own = coco_json.entries(said, "annotations")
        category = {number: n for n, number in enumerate(kinds.number)}
        left, top, *sides = np.array([one["bbox"] for one in own], float).reshape(-1, 4).T
        width, height = np.maximum(sides, 0)
        sizes = dict(zip(pictures.number.tolist(), pictures.size.tolist(), strict=True))
        return Truth(
            pictures,
            kinds,
            np.array([coco_json.whole(one["image_id"]) for one in own], np.int64),
            np.stack([top, left, top + height, left + width], axis=1),
            np.array([_category(one["category_id"], category) for one in own], np.int64),
            np.array([one.get("area", math.nan) for one in own], np.float64),
            np.array([coco_json.flag(one.get("iscrowd")) for one in own], bool),
            tuple(_sound(one, sizes.get(one["image_id"])) for one in own),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = coco_json.why(error)
        raise ConfigError(f"'{file}' is no file of COCO's objects: {why}") from error


def repeats(objects: Objects, *, shown: Array, threshold: float) -> Array:
    """(N,) float64, how often an epoch shows each of the images, so that rare categories are met.

    1 or more: the greatest of its categories' max(1, √(threshold / f)), f = share of these images
    with it (repeat factor sampling, Gupta et al. 2019, Appendix B.2,
    https://arxiv.org/abs/1908.03195).

    shown: (N,) the images, places in the file.
    """
    images = len(objects.pictures.files)
    image, category = _met(objects)
    there = np.isin(image, shown)
    image, category = image[there], category[there]
    share = np.bincount(category, minlength=len(objects.kinds.names)) / max(len(shown), 1)
    with np.errstate(divide="ignore"):
        factor = np.maximum(1, np.sqrt(threshold / share))
    often = np.ones(images)
    np.maximum.at(often, image, factor[category])
    return often[shown]


def image_counts(objects: Objects) -> Array:
    """(C,) int64, how many images show each category: what LVIS calls its `image_count`."""
    return np.bincount(_met(objects)[1], minlength=len(objects.kinds.names))


def _met(objects: Objects) -> tuple[Array, Array]:
    """Images and categories of which the one shows the other, each pair once."""
    count = max(len(objects.kinds.names), 1)
    image = np.repeat(np.arange(len(objects.pictures.files)), np.diff(objects.first))
    return np.divmod(np.unique(image * count + objects.categories), count)


def _pictures(said: Mapping[str, Any]) -> Pictures:
    images = coco_json.entries(said, "images")
    kinds = _kinds(coco_json.entries(said, "categories"))
    category = {number: n for n, number in enumerate(kinds.number)}
    numbers = np.array([coco_json.whole(image["id"]) for image in images], np.int64)
    if len(np.unique(numbers)) < len(numbers):
        raise ValueError("two of its images have the same id")
    sizes = [[coco_json.whole(image[key]) for key in ("height", "width")] for image in images]
    lists = (
        tuple(tuple(_category(n, category) for n in image.get(key) or ()) for image in images)
        for key in ("neg_category_ids", "not_exhaustive_category_ids")
    )
    files = tuple(map(coco_json.name, images))
    return Pictures(numbers, files, np.array(sizes, np.int64).reshape(-1, 2), *lists)


def _kinds(categories: Sequence[Mapping[str, Any]]) -> Kinds:
    own = sorted(categories, key=lambda one: coco_json.whole(one["id"]))
    number = tuple(one["id"] for one in own)
    if len({*number}) < len(own):
        raise ValueError("two of its categories have the same id")
    names = tuple(str(one["name"]) for one in own)
    frequency = tuple(str(one["frequency"]) for one in own if "frequency" in one)
    return Kinds(names, number, frequency if len(frequency) == len(own) else ())


def _category(number: Any, category: Mapping[int, int]) -> int:
    """The place of a category among those of the file."""
    if coco_json.whole(number) not in category:
        raise ValueError(f"it has category {number}, which is not in the file's 'categories'")
    return category[number]


def _named(
    one: Mapping[str, Any], place: Mapping[int, int], category: Mapping[int, int], size: list
) -> tuple | str:
    """`_row`, whose errors say which annotation it is."""
    try:
        return _row(one, place, category, size)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"annotation {one.get('id')}: {coco_json.why(error)}") from error


def _sound(one: Mapping[str, Any], size: list | None) -> Any:
    """The `segmentation` of an annotation; None where it is no outline of an image of this size."""
    said = one.get("segmentation") or None
    try:
        outline = None if said is None else outlines.of_coco(said)
    except ValueError:
        return None
    return None if isinstance(outline, Runs) and size not in (None, [*outline.size]) else said


def _row(
    one: Mapping[str, Any], place: Mapping[int, int], category: Mapping[int, int], size: list
) -> tuple | str:
    """Image, corners, category, crowd, area and outline of an object, or why it is none."""
    image = place.get(coco_json.whole(one["image_id"]))
    if image is None:
        return "of images that are not listed"
    box = one["bbox"]
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"its bbox is {box!r:.60}, expected left, top, width and height")
    left, top, width, height = map(coco_json.finite, box)
    limit = size[image]
    low = [max(top, 0.0), max(left, 0.0)]
    high = [min(top + height, limit[0]), min(left + width, limit[1])]
    if not all(b - a >= LEAST for a, b in zip(low, high, strict=True)):
        return "without a box in their image"
    shape = one.get("segmentation") or None
    try:
        outline = None if shape is None else outlines.of_coco(shape)
    except ValueError:
        return "with a broken outline"
    if isinstance(outline, Runs) and [*outline.size] != limit:
        return "with a broken outline"
    if one.get("area") is not None:
        area = coco_json.finite(one["area"])
    elif outline is None:
        area = (high[0] - low[0]) * (high[1] - low[1])
    else:
        area = outlines.area(outline)
    kind, crowd = _category(one["category_id"], category), coco_json.flag(one.get("iscrowd"))
    return image, (*low, *high), kind, crowd, max(area, 0.0), outline


def _gathered(
    pictures: Pictures, kinds: Kinds, rows: list[tuple], left_out: Mapping[str, int]
) -> Objects:
    """The objects image by image, those of an image in the order of the file."""
    rows.sort(key=lambda row: row[0])
    image, corners, category, crowd, area, shapes = zip(*rows, strict=True) if rows else [()] * 6
    first = np.searchsorted(np.array(image, int), np.arange(len(pictures.files) + 1))
    return Objects(
        pictures,
        kinds,
        first,
        np.array(corners, np.float32).reshape(-1, 4),
        np.array(category, np.int32),
        np.array(crowd, bool),
        np.array(area, np.float32),
        _shapes(shapes),
        left_out,
    )


def _shapes(shapes: Sequence[Outline | None]) -> Shapes:
    runs = {n: one for n, one in enumerate(shapes) if isinstance(one, Runs)}
    drawn = [() if one is None or isinstance(one, Runs) else one for one in shapes]
    flat = [polygon for one in drawn for polygon in one]
    ends = lambda parts: np.cumsum([0, *map(len, parts)])  # noqa: E731
    places = np.concatenate([np.zeros((0, 2), np.float32), *flat])
    return Shapes(places, ends(flat), ends(drawn), runs)
