"""Objects that are found beside those that are there: average precision, and what a guess has.

What is there is what a file says of its images, where the data are such a file: crowds, areas and
boxes as they stand there, and of LVIS what was looked for. Else it is what the records say.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import detection
from m3i_jax.data.originals import Original
from m3i_jax.data.sources import annotation_names, outlines
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.evaluation.detection.found import Found
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.metrics import federated, objects
from m3i_jax.parallel import processes
from m3i_jax.types import Array, Share

Numbers = dict[str, float | None]


class Judged(NamedTuple):
    """numbers: by measure, None where nothing is there to be found.

    images: how many said what is in them.
    found: all that was found, in pixels of its image, by the images' own numbers.
    """

    numbers: Numbers
    images: int
    found: objects.Found


class Known(NamedTuple):
    """What a data set says of its images beside the records.

    image_id: (record) -> the number of its image.   category_ids: those of its categories.
    truth: `data.sources.object_files.Truth` of all images; None = the records say what is there.
    """

    image_id: Callable[[int], int]
    category_ids: Sequence[int]
    truth: Any = None

    @classmethod
    def of(cls, source: Source) -> "Known":
        """What a source says; of a part of a file, and of others, records are counted from 0 and
        categories from 1."""
        if getattr(source, "truth", None) is None:
            return cls(int, range(1, len(annotation_names.objects(source)) + 1))
        truth = source.truth()
        return cls(source.image_id, truth.kinds.number, truth)


def judged(
    pairs: Iterable[tuple[Original, Found]],
    *,
    kinds: int,
    masks: bool = False,
    guess: Found | None = None,
    known: Known | None = None,
    share: Share = Share(),
) -> Judged:
    """AP and AR of all that was found in the images whose objects are known.

    Args:
      pairs: records, and what was found in each.
      kinds: categories of objects.
      masks: whether masks are held against outlines, too: "mask_ap" and its kin.
      known: numbers of images, and what a whole file says is there; None = as the records are.
      guess: found in every image by who sees none, corners as shares of its sides; its AP is the
        measure "constant".
      share: of the records that the pairs are; those of all processes are judged.

    Raises:
      NotMeasurable: no record says what objects are in it; masks are asked for, and there are none,
        or none are found.
    """
    known_pairs = (pair for pair in pairs if pair[0].sample.objects is not None)
    made = [(one.number, _row(one, said, guess, masks)) for one, said in known_pairs]
    rows = processes.by_number(made, share)
    if not rows:
        raise NotMeasurable("no record says which objects are in it")
    of = lambda name: [getattr(row, name) for row in rows]  # noqa: E731
    known = known or Known(int, ())
    number, size = np.array([known.image_id(n) for n in of("number")]), np.array(of("size"))
    images, there = objects.Images(number, size), _there(number, of("there"), of("truth"))
    if known.truth is not None:
        images, there = _of_file(known.truth, images)
    measure = _measure(known.truth, images, kinds)
    found = _found(number, of("found"), of("masks") if masks else None)
    scores = measure(there, found)._asdict()
    if masks:
        if there.masks is None:
            raise NotMeasurable("no record says where in its box an object is: take 'detection'")
        by_mask = measure(there, found, masks=True)._asdict()
        scores |= {f"mask_{name}": value for name, value in by_mask.items()}
    if guess is not None:
        scores["constant"] = measure(there, _found(number, of("guessed"), None)).ap
    said = {name: None if np.isnan(value) else value for name, value in scores.items()}
    return Judged(said, len(rows), found)


def _measure(truth: Any, images: objects.Images, kinds: int) -> Callable[..., Any]:
    """COCO's measures, or LVIS's where categories have a frequency."""
    if truth is not None and truth.kinds.frequency:
        how = dict(images=images, frequency=truth.kinds.frequency)
        return functools.partial(federated.average_precision, **how)
    return functools.partial(objects.average_precision, images=images, categories=kinds)


def _of_file(truth: Any, images: objects.Images) -> tuple[objects.Images, objects.There]:
    """What a file says of these of its images."""
    place = {number: n for n, number in enumerate(truth.pictures.number.tolist())}
    rows = [place[number] for number in images.number.tolist()]
    lists = (truth.pictures.negative, truth.pictures.not_exhaustive)
    looked = [[own[n] for n in rows] if own else None for own in lists]
    images = images._replace(negative=looked[0], not_exhaustive=looked[1])
    sizes = dict(zip(images.number.tolist(), map(tuple, images.size.tolist()), strict=True))
    kept = np.flatnonzero(np.isin(truth.image, images.number))
    corners, area = truth.corners[kept], truth.area[kept]
    boxes = (corners[:, 2:] - corners[:, :2]).prod(1)
    said = [truth.outlines[n] for n in kept]
    nothing = lambda n: objects.run_lengths(np.zeros(sizes[int(truth.image[n])], bool))  # noqa: E731
    # One without an outline has no pixel.
    masks = [one or nothing(n) for one, n in zip(said, kept, strict=True)] if any(said) else None
    about = dict(area=np.where(np.isnan(area), boxes, area), crowd=truth.crowd[kept], masks=masks)
    return images, objects.There(truth.image[kept], corners, truth.category[kept], **about)


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
        if said.masks is None:
            raise NotMeasurable("what finds boxes alone has no masks: take 'detection'")
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
