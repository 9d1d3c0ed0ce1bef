"""How well pixels are put into categories, of one table of counts over a whole set.

A step makes the table of its batch (`confusion`, jittable, exact); the host adds those up in int64,
as a set has more pixels than int32 can count, and reads the numbers from the sum (`scores`):

    counts = np.zeros((classes + 1, classes), np.int64)
    for batch in batches:
        counts += np.asarray(step(batch))  # segmentation.confusion(predicted(logits), labels, ...)
    print(segmentation.scores(counts).miou)

Images of many sizes, of which each would be compiled, are counted by the host (`host_confusion`);
what an interval over images needs of each is three numbers a category (`areas`, `of_areas`).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int32, Int64, Integer

from m3i_jax.types import Array

IGNORED = 255  # what masks say of a pixel that nobody has named


class SegmentationScores(NamedTuple):
    """What a table of counts says; shares from 0 to 1.

    miou: the mean of `iou` over the categories that are labelled or predicted anywhere.
    pixel_accuracy: share of labelled pixels that are right.
    mean_accuracy: the mean of `accuracy` over the categories that are labelled anywhere.
    iou: (classes,) |predicted ∩ labelled| / |predicted ∪ labelled|, NaN where the union is empty.
    accuracy: (classes,) share of a category's pixels that are right, NaN where it has none.
    """

    miou: float
    pixel_accuracy: float
    mean_accuracy: float
    iou: Float64[np.ndarray, " classes"]
    accuracy: Float64[np.ndarray, " classes"]


def predicted(logits: Float[Array, "*positions classes"]) -> Int32[Array, "*positions"]:
    """The likeliest category of each pixel: (..., C) -> (...) int32, of equals the lowest.

    Compared in float32, before anything is rounded to less: bfloat16 makes ties of a hundredth.
    """
    return jnp.argmax(jnp.asarray(logits, jnp.float32), axis=-1).astype(jnp.int32)


def confusion(
    prediction: Int[Array, "*positions"],
    labels: Integer[Array, "*positions"],
    classes: int,
    *,
    ignored: int = IGNORED,
    valid: Bool[Array, "*#positions"] | None = None,
) -> Int32[Array, "{classes}+1 {classes}"]:
    """Pixels by label (row) and prediction (column): (...), (...) -> (classes + 1, classes) int32.

    The last row has pixels whose label, or prediction, is no category, and that are not ignored
    either: `scores` refuses them. Counts are whole numbers, and so the same on any number of
    devices and however a set is cut into batches, of less than 2³¹ pixels each.

    Args:
      prediction: (...) int, 0 to classes − 1.
      labels: (...) int of any kind.
      classes: how many categories there are (static).
      ignored: the label of what does not count.
      valid: (...) bool, or of axes of 1: pixels that count; padding is none. None = all.
    """
    labels, prediction = (jnp.asarray(x).astype(jnp.int32) for x in (labels, prediction))
    counted = labels != ignored
    if valid is not None:
        counted &= valid
    place = jnp.where(
        _known(prediction, labels, classes), labels * classes + prediction, classes**2
    )
    # What does not count is added beyond the end, where it is dropped.
    place = jnp.where(counted, place, (classes + 1) * classes)
    counts = jnp.zeros((classes + 1) * classes, jnp.int32)
    return counts.at[place.reshape(-1)].add(1, mode="drop").reshape(classes + 1, classes)


def host_confusion(
    prediction: Integer[np.ndarray, "*positions"],
    labels: Integer[np.ndarray, "*positions"],
    classes: int,
    *,
    ignored: int = IGNORED,
) -> Int64[np.ndarray, "rows {classes}"]:
    """What `confusion` counts, in NumPy and in int64: (...), (...) -> (classes + 1, classes)."""
    counted = labels != ignored
    label, said = (np.asarray(x)[counted].astype(np.int64) for x in (labels, prediction))
    place = np.where(_known(said, label, classes), label * classes + said, classes**2)
    size = (classes + 1) * classes
    return np.bincount(place, minlength=size).reshape(classes + 1, classes)


def scores(counts: Integer[np.ndarray, "rows classes"]) -> SegmentationScores:
    """Reads the numbers from a table of `confusion`, or from the sum of many, in float64.

    IoU_c = n_cc / (Σ_j n_cj + Σ_i n_ic − n_cc), over a whole set and not the mean of images (Long
    et al. 2015, §5, https://arxiv.org/abs/1411.4038; PASCAL VOC, Everingham et al. 2015,
    https://doi.org/10.1007/s11263-014-0733-5).

    Args:
      counts: (classes + 1, classes), or (classes, classes) of somebody else's.

    Raises:
      ValueError: labels or predictions that are no category; nothing is labelled; counts below 0.
    """
    return of_areas(areas(counts))


def areas(counts: Integer[np.ndarray, "rows classes"]) -> Int64[np.ndarray, "3 classes"]:
    """Pixels of each category that are right, labelled, and said, of a table: -> (3, classes).

    Raises:
      ValueError: labels or predictions that are no category; counts below 0; no such table.
    """
    counts = np.asarray(counts, np.int64)
    rows, classes = counts.shape
    if rows not in (classes, classes + 1):
        raise ValueError(f"counts are {counts.shape}, expected {(classes + 1, classes)}")
    if (counts < 0).any():
        raise ValueError("counts are below 0: int32 has overflowed; add batches up in int64")
    if strays := counts[classes:].sum():
        raise ValueError(
            f"{strays} pixels have a label, or a prediction, that is none of {classes} categories "
            f"(0 to {classes - 1}), and are not ignored either"
        )
    return np.stack([np.diagonal(counts), counts.sum(1)[:classes], counts.sum(0)])


def of_areas(areas: Integer[np.ndarray, "3 classes"]) -> SegmentationScores:
    """The numbers of `scores`, of the sum of many `areas`; docs/metrics.md#pixels-and-joints.

    Raises:
      ValueError: nothing is labelled.
    """
    right, labelled, said = areas
    if not labelled.sum():
        raise ValueError("no pixel has a label, so there is nothing to score")
    iou, accuracy = _shares(right, labelled + said - right), _shares(right, labelled)
    return SegmentationScores(
        miou=float(np.nanmean(iou)),
        pixel_accuracy=float(right.sum() / labelled.sum()),
        mean_accuracy=float(np.nanmean(accuracy)),
        iou=iou,
        accuracy=accuracy,
    )


def _known(
    prediction: Integer[Array, "*positions"], labels: Integer[Array, "*positions"], classes: int
) -> Bool[Array, "*positions"]:
    """Which pixels are labelled with a category, and said to be one."""
    known = (labels >= 0) & (labels < classes)
    return known & (prediction >= 0) & (prediction < classes)


def _shares(
    part: Integer[np.ndarray, " classes"], whole: Integer[np.ndarray, " classes"]
) -> Float64[np.ndarray, " classes"]:
    """part / whole, NaN where the whole is empty."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
