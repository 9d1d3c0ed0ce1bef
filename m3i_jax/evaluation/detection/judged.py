"""Objects that are found beside those that are there: average precision, and what a guess has."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from m3i_jax import detection
from m3i_jax.data.originals import Original
from m3i_jax.data.sources import outlines
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.evaluation.detection.found import Found
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.metrics import objects
from m3i_jax.types import Array

Numbers = dict[str, float | None]


class Judged(NamedTuple):
    """numbers: by measure, None where nothing is there to be found.

    images: how many said what is in them.   found: all that was found, in pixels of its image.
    numbers_of: of each of these images its number in the data set.
    """

    numbers: Numbers
    images: int
    found: objects.Found
    numbers_of: Array


def judged(
    pairs: Iterable[tuple[Original, Found]],
    *,
    kinds: int,
    masks: bool = False,
    guess: Found | None = None,
) -> Judged:
    """AP and AR of all that was found in the images whose objects are known.

    Args:
      pairs: records, and what was found in each.
      kinds: categories of objects.
      masks: whether masks are held against outlines, too: "mask_ap" and its kin.
      guess: found in every image by who sees none, corners as shares of its sides; its AP is the
        measure "constant".

    Raises:
      NotMeasurable: no record says what objects are in it; masks are asked for, and there are none.
    """
    rows = [_row(one, said, guess, masks) for one, said in pairs if one.sample.objects is not None]
    if not rows:
        raise NotMeasurable("no record says which objects are in it")
    of = lambda name: [getattr(row, name) for row in rows]  # noqa: E731
    number, size = np.array(of("number")), np.array(of("size"))
    images, there = objects.Images(number, size), _there(number, of("there"), of("truth"))
    found = _found(number, of("found"), of("masks") if masks else None)
    scores = objects.average_precision(there, found, images, kinds)._asdict()
    if masks:
        if there.masks is None:
            raise NotMeasurable("no record says where in its box an object is: take 'detection'")
        by_mask = objects.average_precision(there, found, images, kinds, masks=True)._asdict()
        scores |= {f"mask_{name}": value for name, value in by_mask.items()}
    if guess is not None:
        guessed = _found(number, of("guessed"), None)
        scores["constant"] = objects.average_precision(there, guessed, images, kinds).ap
    known = {name: None if np.isnan(value) else value for name, value in scores.items()}
    return Judged(known, len(rows), found, number)


def guessed(samples: Sequence[Sample], kinds: int) -> Found | None:
    """What is best said of every image by who sees none: of each category the mean of its boxes, as
    shares of the sides of their images, the more sure the more of them there are; None = no sample
    says anything.
    """
    boxes: dict[int, list] = {kind: [] for kind in range(kinds)}
    for sample in samples:
        sides = np.tile(sample.image.shape[:2], 2)
        if (said := sample.objects) is not None:
            for kind, corners in zip(said.categories.tolist(), said.corners / sides, strict=True):
                boxes[kind].append(corners)
    there = [kind for kind in boxes if boxes[kind]]
    if not there:
        return None
    most = max(len(boxes[kind]) for kind in there)
    mean = np.array([np.mean(boxes[kind], 0) for kind in there])
    scores = np.array([len(boxes[kind]) / most for kind in there], np.float32)
    return Found(mean, scores, np.array(there))


class _Row(NamedTuple):
    """What is kept of an image."""

    number: int
    size: tuple[int, int]
    there: SampleObjects
    truth: list | None
    found: Found
    masks: list | None
    guessed: Found | None


def _row(one: Original, said: Found, guess: Found | None, masks: bool) -> _Row:
    size = one.sample.image.shape[:2]
    there, truth, pasted = one.sample.objects, None, None
    if masks:
        truth = there.outlines and [_truth(outline, size) for outline in there.outlines]
        # At the size of the image one at a time: runs are what is kept of each.
        pasted = [
            objects.run_lengths(detection.pasted(mask[None], corners[None], size)[0])
            for mask, corners in zip(said.masks, np.float32(said.corners), strict=True)
        ]
    if guess is not None:
        guess = guess._replace(corners=guess.corners * np.tile(size, 2))
    return _Row(one.number, size, there, truth, said._replace(masks=None), pasted, guess)


def _truth(outline: outlines.Outline | None, size: tuple[int, int]):
    """What COCO's files would say; an object without an outline has no pixel."""
    if outline is None:
        return objects.run_lengths(np.zeros(size, bool))
    return outlines.to_coco(outline)


def _there(number: Array, rows: Sequence[SampleObjects], truth: Sequence) -> objects.There:
    image = np.repeat(number, [len(row.corners) for row in rows])
    joined = lambda name: np.concatenate([getattr(row, name) for row in rows])  # noqa: E731
    known = all(part is not None for part in truth) and any(truth)
    masks = [one for part in truth for one in part] if known else None
    about = dict(area=np.float64(joined("area")), crowd=joined("crowd"), masks=masks)
    return objects.There(image, np.float64(joined("corners")), joined("categories"), **about)


def _found(number: Array, rows: Sequence[Found], masks: Sequence | None) -> objects.Found:
    image = np.repeat(number, [len(row.scores) for row in rows])
    joined = lambda name: np.concatenate([getattr(row, name) for row in rows])  # noqa: E731
    corners, scores = np.float64(joined("corners")), np.float64(joined("scores"))
    kept = None if masks is None else [one for part in masks for one in part]
    return objects.Found(image, corners, joined("categories"), scores, kept)
