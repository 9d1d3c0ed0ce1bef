"""Poses beside who is there: similarity and average precision."""

from typing import NamedTuple

import numpy as np

from m3i_jax.data.sources import annotation_names
from m3i_jax.data.sources.protocol import Source, read
from m3i_jax.data.sources.skeletons import COCO, CROWDPOSE, Skeleton
from m3i_jax.evaluation.dense.posed import Posed
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.intervals import of_mean
from m3i_jax.metrics import average_precision, keypoints
from m3i_jax.metrics.keypoints import People, Poses

SIGMAS = {COCO.names: keypoints.COCO_SIGMAS, CROWDPOSE.names: keypoints.CROWDPOSE_SIGMAS}
SIGMA = 0.05  # of joints of which nobody knows how far annotators differ
NEAR = 0.5  # of OKS


class Persons(NamedTuple):
    """What is known of the key points of a source.

    sigmas: how far annotators differ, of each.
    """

    skeleton: Skeleton
    sigmas: tuple[float, ...]

    @classmethod
    def of(cls, source: Source) -> "Persons":
        """Those of a source, see `annotation_names.skeleton`."""
        skeleton = annotation_names.skeleton(source)
        sigmas = SIGMAS.get(skeleton.names, (SIGMA,) * len(skeleton.names))
        return cls(skeleton, sigmas)


def measured(
    persons: Persons, source: Source, found: Posed
) -> tuple[dict[str, float | None], dict[str, tuple[float, float] | None]]:
    """The measures of poses, and intervals of 95 % of those that are means over records.

    oks: mean similarity of each labelled record with its own pose; near: share of those of .5 and
    more; pck: joints within .1 of the longer side of their boxes; constant: oks of the mean places
    of all joints in their boxes; ap and its kin: COCO's, of all records of a file that says who
    else is there.

    Raises:
      NotMeasurable: no record has labelled key points.
    """
    people, poses = _both(source, found)
    labelled = (people.points[..., 2] > 0).any(1)
    if not labelled.any():
        raise NotMeasurable(f"no record of '{source.name}' has labelled key points")
    own = _similar(persons, people, poses.points, labelled)
    near = np.asarray(own) >= NEAR
    numbers = {"oks": float(np.mean(own)), "near": float(near.mean())}
    numbers["pck"] = float(np.nanmean(keypoints.pck(poses.points, people)))
    numbers["constant"] = float(np.mean(_guessed(persons, people, labelled)))
    intervals = {"oks": of_mean(own), "near": of_mean(near.astype(float))}
    if getattr(source, "truth", None):
        scores = _precision(persons, source, people, poses)
        # Of sizes that no labelled person has there is no number.
        numbers |= {name: None if np.isnan(x) else x for name, x in scores.items()}
    return numbers, dict.fromkeys(numbers) | intervals


def _precision(persons: Persons, source: Source, people: People, poses: Poses) -> dict[str, float]:
    """AP and AR of poses beside all people of a file, crowds too, and those without labels."""
    told = source.truth()
    everybody = People(told.image, told.points, told.box, told.area, told.crowd)
    images = np.union1d(told.image, poses.image)
    kept = _kept(persons, people, poses)
    return average_precision.of_poses(everybody, kept, images, sigmas=persons.sigmas)._asdict()


def _similar(persons: Persons, people: People, points: np.ndarray, rows: np.ndarray) -> list[float]:
    """OKS of the poses of some records, each with the person of its own."""
    one = lambda column, n: None if column is None else column[n : n + 1]  # noqa: E731
    return [
        keypoints.similarity(
            points[n : n + 1], People(*(one(column, n) for column in people)), sigmas=persons.sigmas
        ).item()
        for n in np.flatnonzero(rows)
    ]


def _guessed(persons: Persons, people: People, rows: np.ndarray) -> list[float]:
    """The same of joints at the mean of their places in the boxes, for who sees no image."""
    corner, extent = people.box[:, None, :2], people.box[:, None, 2:]
    shares = (people.points[..., :2] - corner) / extent
    counted = (people.points[..., 2:] > 0) * 1.0
    mean = (shares * counted).sum(0) / np.maximum(counted.sum(0), 1)
    return _similar(persons, people, corner + mean * extent, rows)


def _both(source: Source, found: Posed) -> tuple[People, Poses]:
    """Who is there, record by record, and the pose of each."""
    samples = [read(source, int(number)) for number in found.number]
    points = np.stack([_points(sample.points, found.points.shape[1]) for sample in samples])
    boxes = np.stack([_box(sample) for sample in samples]).astype(np.float64)
    known = [source.person(int(n)) if hasattr(source, "person") else None for n in found.number]
    pairs = zip(found.number, known, strict=True)
    image = np.array([number if who is None else who.image for number, who in pairs])
    area = np.array([np.nan if who is None else who.area for who in known])
    sure = np.array([1.0 if who is None else who.score for who in known])
    score = keypoints.score(sure, found.scores)
    return People(image, points, boxes, area), Poses(image, found.points.astype(float), score)


def _kept(persons: Persons, people: People, poses: Poses) -> Poses:
    """Poses of which none is too like a surer one of its image."""
    kept = []
    for image in np.unique(poses.image):
        rows = np.flatnonzero(poses.image == image)
        area = people.box[rows, 2] * people.box[rows, 3]
        how = dict(sigmas=persons.sigmas)
        kept.append(rows[keypoints.suppressed(poses.points[rows], poses.score[rows], area, **how)])
    return Poses(*(x[np.concatenate(kept)] for x in poses))


def _points(points: np.ndarray | None, count: int) -> np.ndarray:
    return np.zeros((count, 3)) if points is None else np.float64(points)


def _box(sample) -> np.ndarray:
    return np.array([0, 0, *sample.image.shape[:2]]) if sample.box is None else sample.box
