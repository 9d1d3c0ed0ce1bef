"""Key points of people in COCO's JSON, of CrowdPose too; and boxes that a detector has found.

https://cocodataset.org/#format-data, #format-results; https://github.com/Jeff-sjtu/CrowdPose. Read
within bounds, as others have written it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import coco_json
from m3i_jax.data.sources.skeletons import COCO, CROWDPOSE, Skeleton, sides
from m3i_jax.types import Array

HALF = 0.5  # COCO's numbers are of pixels, whose middles are at ½ here


class Person(NamedTuple):
    """What an evaluation asks of a person, as the files have it.

    image: the id of the image.   number: that of the annotation; -1 = a box that was detected.
    area: of the segment, in pixels; NaN = nobody says.   score: of a detected box, otherwise 1.
    crowd: CrowdPose's index of the image, how crowded it is; NaN = nobody says.
    """

    image: int
    number: int = -1
    area: float = math.nan
    score: float = 1.0
    crowd: float = math.nan


class One(NamedTuple):
    """A record: the file name of its image, (4,) float32 box, (K, 3) float32 points or None."""

    file: str
    box: Array
    points: Array | None
    person: Person


class People(NamedTuple):
    """All records of a file.   left_out: how many were not taken, by reason."""

    skeleton: Skeleton
    records: list[One]
    left_out: Mapping[str, int]


class Truth(NamedTuple):
    """All N people of a file, also those that are no records: what predictions are held against.

    image, number: (N,) ids of the image and of the annotation.   points: (N, K, 3), see `Sample`.
    box: (N, 4) top, left, height, width.   area: (N,) of the segment, NaN = nobody says.
    crowd: (N,) whether it is of several people.
    """

    image: Array
    number: Array
    points: Array
    box: Array
    area: Array
    crowd: Array


def truth(file: Path) -> Truth:
    """All people of a file of annotations, also crowds and those without a labelled key point.

    Raises:
      ConfigError: it cannot be read, or is no such file.
    """
    said = coco_json.content(file)
    try:
        category = _category(said["categories"])
        own = [one for one in said["annotations"] if one["category_id"] == category["id"]]
        count = len(category["keypoints"])
        return Truth(
            np.array([coco_json.whole(one["image_id"]) for one in own], np.int64),
            np.array([coco_json.whole(one["id"]) for one in own], np.int64),
            np.array([_points(one, count) for one in own], np.float32).reshape(-1, count, 3),
            np.array([one["bbox"] for one in own], np.float32).reshape(-1, 4)[:, [1, 0, 3, 2]],
            np.array([one.get("area", math.nan) for one in own], np.float64),
            np.array([bool(one.get("iscrowd")) for one in own], bool),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"'{file}' is no file of COCO's key points: {coco_json.why(error)}"
        ) from error


def read(file: Path) -> People:
    """The labelled people of a file of annotations: those with a box and a labelled key point.

    Raises:
      ConfigError: it cannot be read, or is no such file.
    """
    said = coco_json.content(file)
    try:
        category = _category(said["categories"])
        skeleton = _skeleton(category)
        images = {coco_json.whole(image["id"]): image for image in said["images"]}
        records, left_out = [], {}
        for one in said["annotations"]:
            if one["category_id"] != category["id"]:
                continue
            record = _labelled(one, images, len(skeleton.names))
            if isinstance(record, str):
                left_out[record] = left_out.get(record, 0) + 1
            else:
                records.append(record)
        return People(skeleton, records, left_out)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"'{file}' is no file of COCO's key points: {coco_json.why(error)}"
        ) from error


def detected(file: Path, labelled: Path) -> People:
    """The boxes of people that a detector has found in the images of a file of annotations.

    Raises:
      ConfigError: a file cannot be read, or is no such file.
    """
    said, found = coco_json.content(labelled), coco_json.content(file)
    try:
        category = _category(said["categories"])
        images = {coco_json.whole(image["id"]): image for image in said["images"]}
        records, left_out = [], {}
        for one in found:
            if one["category_id"] != category["id"]:
                continue
            image = images.get(one["image_id"])
            box = _box(one["bbox"], image) if image else None
            if box is None:
                reason = "in other images" if image is None else "without a box"
                left_out[reason] = left_out.get(reason, 0) + 1
                continue
            person = Person(image["id"], score=float(one["score"]), crowd=_crowd(image))
            records.append(One(coco_json.name(image), box, None, person))
        return People(_skeleton(category), records, left_out)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"'{file}' is no file of detections: {coco_json.why(error)}") from error


def _category(categories: list) -> Mapping[str, Any]:
    """The only category that has key points."""
    fitting = [one for one in categories if one.get("keypoints")]
    if len(fitting) != 1:
        raise ValueError(f"{len(fitting)} of its categories have key points, expected one")
    return fitting[0]


def _skeleton(category: Mapping[str, Any]) -> Skeleton:
    """Of names and of lines that are counted from 1."""
    names = tuple(map(str, category["keypoints"]))
    if known := next((one for one in (COCO, CROWDPOSE) if one.names == names), None):
        return known  # the lines of CrowdPose's files are COCO's, whose points have other numbers
    bones = tuple(
        (coco_json.whole(a) - 1, coco_json.whole(b) - 1) for a, b in category.get("skeleton", ())
    )
    if any(not 0 <= end < len(names) for bone in bones for end in bone):
        raise ValueError(f"its skeleton joins others than {len(names)} key points")
    return Skeleton(names, sides(names), bones)


def _labelled(one: Mapping[str, Any], images: Mapping[int, Any], count: int) -> One | str:
    """A record, or why there is none."""
    image = images.get(one["image_id"])
    if image is None:
        return "of images that are not listed"
    if one.get("iscrowd"):
        return "of crowds"
    points = _points(one, count)
    if not (points[:, 2] > 0).any():
        return "without a labelled key point"
    box = _box(one["bbox"], image)
    if box is None:
        return "without a box"
    person = Person(
        coco_json.whole(image["id"]),
        coco_json.whole(one["id"]),
        float(one.get("area", math.nan)),
        crowd=_crowd(image),
    )
    return One(coco_json.name(image), box, points, person)


def _points(one: Mapping[str, Any], count: int) -> Array:
    """(K, 3) float32 row, column, visibility; what is not labelled is anywhere."""
    points = np.array(one["keypoints"], np.float32).reshape(-1, 3)[:, [1, 0, 2]]
    if len(points) != count:
        raise ValueError(f"annotation {one['id']} has {len(points)} key points, expected {count}")
    points[:, :2] += HALF
    return points


def _box(said: Any, image: Mapping[str, Any]) -> Array | None:
    """(4,) float32 top, left, height, width of what lies in the image; None = nothing does."""
    left, top, width, height = map(float, said)
    size = np.array([coco_json.whole(image["height"]), coco_json.whole(image["width"])])
    corners = np.clip([[top, left], [top + height, left + width]], 0, size)
    extent = corners[1] - corners[0]
    return np.concatenate([corners[0], extent]).astype(np.float32) if (extent > 0).all() else None


def _crowd(image: Mapping[str, Any]) -> float:
    return float(image.get("crowdIndex", math.nan))
