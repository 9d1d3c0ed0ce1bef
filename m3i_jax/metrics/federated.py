"""LVIS's average precision: of many categories, in images where few of them were looked for.

Gupta et al. 2019, https://arxiv.org/abs/1908.03195, https://github.com/lvis-dataset/lvis-api. As
COCO's (`objects`), but what is found counts only in images that have an object of its category, or
of which it is known that they have none; where not all objects of a category are labelled, what
matches none is not wrong; and of each image the 300 surest count, of all categories together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from m3i_jax.metrics import objects
from m3i_jax.metrics.objects import Curves, Found, Images, There
from m3i_jax.ranges import Count

FREQUENCIES = ("r", "c", "f")  # in 1 to 10 training images, in 11 to 100, in more


class FederatedScores(NamedTuple):
    """Shares from 0 to 1, NaN where there is nothing to be found; see `objects.ObjectScores`.

    rare, common, frequent: mean over the categories of that frequency.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ap_rare: float
    ap_common: float
    ap_frequent: float
    ar: float
    ar_small: float
    ar_medium: float
    ar_large: float


def average_precision(
    there: There,
    found: Found,
    images: Images,
    frequency: Sequence[str],
    *,
    masks: bool = False,
    most: Count = 300,
) -> FederatedScores:
    """AP and AR of objects over a set of images whose labels are federated.

    Args:
      there, found, images, masks: as of `objects.average_precision`.
      frequency: of each category one of `FREQUENCIES`.
      most: how many of an image count, its surest.

    Raises:
      As `objects.average_precision`; a ValueError where frequencies are others.
    """
    if strange := {*frequency} - {*FREQUENCIES}:
        raise ValueError(f"a category has frequency '{min(strange)}', expected one of r, c, f")
    of = curves(there, found, images, len(frequency), masks=masks, most=most)
    precision, recall = of.precision[..., 0], of.recall[..., 0]
    groups = [np.array([own == name for own in frequency], bool) for name in FREQUENCIES]
    return FederatedScores(
        objects.mean(precision[:, :, :, 0]),
        objects.mean(precision[0, :, :, 0]),
        objects.mean(precision[5, :, :, 0]),
        *(objects.mean(precision[:, :, :, size]) for size in (1, 2, 3)),
        *(objects.mean(precision[:, :, group, 0]) for group in groups),
        *(objects.mean(recall[:, :, size]) for size in range(4)),
    )


def curves(
    there: There,
    found: Found,
    images: Images,
    categories: Count,
    *,
    masks: bool = False,
    most: Count = 300,
) -> Curves:
    """Precision and recall of every category, see `average_precision`."""
    library = objects.loaded()
    objects.checked(there, found, images, categories, masks=masks)
    names = [{"id": number, "frequency": FREQUENCIES[0]} for number in range(categories)]
    held = objects.coco_images(images, names)
    silent: Sequence[Sequence[int]] = [()] * len(images.number)
    beside = zip(images.negative or silent, images.not_exhaustive or silent, strict=True)
    for image, (negative, partial) in zip(held["images"], beside, strict=True):
        image["neg_category_ids"] = [int(n) for n in negative]
        image["not_exhaustive_category_ids"] = [int(n) for n in partial]
    kept = chosen(found, surest(found, most))
    # None is lost by the library's own limit, which is of an image and category.
    how = dict(masks=masks, most=[most], federated=True)
    return objects.evaluated(library, there, kept, held, **how)


def surest(found: Found, most: Count) -> Int[np.ndarray, " kept"]:
    """Which of what was found are among the `most` surest of their image, in their order.

    Of equal scores the first.
    """
    order = np.lexsort((-np.float64(found.score), found.image))  # stable
    image = found.image[order]
    first = np.flatnonzero(np.diff(image, prepend=image[:1] - 1))
    rank = np.arange(len(image)) - np.repeat(first, np.diff(np.append(first, len(image))))
    return np.sort(order[rank < most])


def chosen(found: Found, rows: Int[np.ndarray, " kept"] | Bool[np.ndarray, " found"]) -> Found:
    """Some of what was found."""
    masks = found.masks
    if masks is not None:
        masks = [masks[n] for n in np.arange(len(found.image))[rows]]
    return Found(*(column[rows] for column in found[:4]), masks)
