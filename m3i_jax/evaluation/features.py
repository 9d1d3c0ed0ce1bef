"""Frozen features: one ordered pass over a data set, in which padding never counts."""

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from m3i_jax.build import UserError
from m3i_jax.data.epoch import Rows
from m3i_jax.parallel import processes
from m3i_jax.types import Array

AHEAD = 2  # batches on the device before the host waits for the oldest one

Apply = Callable[[Array], Array]


class NotMeasurable(UserError, ValueError):
    """Nothing can be measured on this data; the message is a sentence for the user."""

    status = 65  # BSD's EX_DATAERR


class FeatureSet(NamedTuple):
    """Features of a data set, one row per record in its order.

    features: (N, D) float32.   labels: (N,) int32, -1 = none.
    index: (N,) int64, which records of the data set these are; None where nobody asks.
    """

    features: Array
    labels: Array
    index: Array | None = None


def require_tables(train: FeatureSet, test: FeatureSet, *, what: str) -> None:
    """Refuses tables that no share of right answers can be counted on.

    Args:
      train, test: features and labels; every row needs a label.
      what: that counts, for the message, such as "kNN".

    Raises:
      NotMeasurable: a set is empty, or has rows without a label or with features that are not
        finite; or training has one class only.
      ValueError: rows and labels, or the two sets, do not fit together.
    """
    for name, table in (("training", train), ("test", test)):
        if wrong := _mismatch(table):
            raise ValueError(f"{what} needs a label for each row, but the {name} set {wrong}")
        if wrong := _unusable(table):
            raise NotMeasurable(f"{what} needs features with labels, but the {name} set {wrong}")
    widths = [np.shape(table.features)[1] for table in (train, test)]
    if widths[0] != widths[1]:
        raise ValueError(
            f"the training set has {widths[0]} features per row and the test set {widths[1]}; "
            "both must come from one encoder"
        )
    if len(np.unique(train.labels)) == 1:
        raise NotMeasurable(f"{what} tells classes apart, but the training set has one only")


def _mismatch(table: FeatureSet) -> str:
    """What is wrong with the shapes and types of a table; "" where nothing is."""
    features, labels = np.shape(table.features), np.asarray(table.labels)
    if len(features) != 2 or labels.shape != features[:1]:
        return f"has features of shape {features} and labels of shape {labels.shape}"
    whole = np.issubdtype(labels.dtype, np.integer)
    return "" if whole else f"has labels of type {labels.dtype}, which are no whole numbers"


def _unusable(table: FeatureSet) -> str:
    """What keeps the rows of a table from being counted; "" where nothing does."""
    if not len(table.labels):
        return "is empty"
    if bad := int((np.asarray(table.labels) < 0).sum()):
        return f"has {bad} rows without a label"
    bad = int((~np.isfinite(table.features).all(axis=1)).sum())
    return f"has {bad} rows with features that are not finite" if bad else ""


def extract(apply: Apply, batches: Iterable[Rows], *, length: int, **options: Any) -> FeatureSet:
    """Features, labels and numbers of exactly the `length` records of one pass, see `passed`."""
    columns = zip(*passed(apply, batches, length=length, **options), strict=True)
    return FeatureSet(*map(np.concatenate, columns))


def passed(
    apply: Apply,
    batches: Iterable[Rows],
    *,
    length: int,
    put: Callable[[Array], Array] | None = None,
    view: str = "a",
    change: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Iterator[FeatureSet]:
    """Features of exactly the `length` records of one pass, batch by batch; the same on every host.

    Those of them that cannot be read have no row.

    Args:
      apply: (B, H, W, 3) uint8 images -> (B, ...) features, compiled.
      batches: `data.epoch.epoch(...)`, in order; rows that are not `real` are dropped.
      length: how many records the data set has.
      put: places a host's rows on the devices, with what sharding they are wanted; plain
        `jnp.asarray` when None.
      view: which of the batch's images.
      change: (images, their numbers in the data set) -> images, on the host.

    Raises:
      ValueError: the pass does not give `length` rows.
      NotMeasurable: there are none, or some have features that are not finite.
    """
    put = jnp.asarray if put is None else put
    counts = {"rows": 0, "lost": 0, "bad": 0}
    for features, lost in _ahead(apply, batches, put, view, change):
        counts["rows"] += len(features.labels)
        counts["lost"] += lost
        counts["bad"] += _not_finite(features.features)
        yield features
    if counts["rows"] + counts["lost"] != length:
        raise ValueError(
            f"the pass over the data gave {counts['rows'] + counts['lost']} rows, but the data set "
            f"has {length}; every record must be seen once and padding must be marked as not real"
        )
    if not counts["rows"]:
        lost = counts["lost"]
        raise NotMeasurable(
            "there is nothing to evaluate: "
            + (f"none of {lost} records can be read" if lost else "the data set is empty")
        )
    if counts["bad"]:
        raise NotMeasurable(
            f"{counts['bad']} of {counts['rows']} rows have features that are not finite"
        )


def _ahead(apply, batches, put, view, change) -> Iterator[tuple[FeatureSet, int]]:
    """The records of each batch and how many were lost, while the devices work on the next ones."""
    waiting = collections.deque()
    for rows in batches:
        lost = np.zeros_like(rows.real) if rows.lost is None else rows.lost
        images = rows.batch.images[view]
        images = change(images, rows.number) if change else images
        beside = map(put, (rows.batch.label, rows.number, rows.real, lost))
        waiting.append((apply(put(images)), *beside))
        if len(waiting) > AHEAD:
            yield _real_rows(*waiting.popleft())
    for item in waiting:
        yield _real_rows(*item)


def _not_finite(features: np.ndarray) -> int:
    """How many rows have a number that is not finite."""
    within = tuple(range(1, features.ndim))
    return int((~np.isfinite(features).all(axis=within)).sum())


def raw_pixels(images: Array, *, side: int | None = None) -> Array:
    """The baseline that any encoder has to beat: the pixels themselves, in [0, 1].

    (B, H, W, 3) uint8 -> (B, H·W·3) float32, or (B, side·side·3) of means over equal blocks.

    Raises:
      ValueError: `side` does not divide the image.
    """
    x = jnp.asarray(images, jnp.float32) / 255.0
    b, height, width, c = x.shape
    if side is not None:
        if side < 1 or height % side or width % side:
            raise ValueError(f"images of {height}x{width} pixels do not divide into {side} blocks")
        x = x.reshape(b, side, height // side, side, width // side, c).mean((2, 4))
    return x.reshape(b, -1)


def _real_rows(*columns: Array) -> tuple[FeatureSet, int]:
    """Host copies of the rows that are records, those of all processes in global order.

    columns: features, labels, numbers, real, lost. Also counts the lost ones.
    """
    features, labels, index, real, lost = (processes.gathered(x) for x in columns)
    types, real = (np.float32, np.int32, np.int64), real.astype(bool)
    kept = zip((features, labels, index), types, strict=True)
    return FeatureSet(*(x[real].astype(dtype) for x, dtype in kept)), int(lost.sum())
