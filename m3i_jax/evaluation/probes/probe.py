"""A linear classifier of frozen features, and how its accuracy is counted.

Each feature is standardised by its mean and variance over the training set, (x − μ)/√(σ² + 1e-6):
what batch norm without affine computes at evaluation, in the limit of its running statistics.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from m3i_jax.evaluation.features import FeatureSet, require_tables
from m3i_jax.evaluation.intervals import mean_of_shares
from m3i_jax.types import Array

EPS = 1e-6  # of the variance, as in MAE's main_linprobe.py
CHUNK = 4096  # rows whose logits are in memory at once


class Classifier(NamedTuple):
    """((x − mean)·scale) @ kernel + bias: mean, scale (D,), kernel (D, C), bias (C,), float64."""

    mean: np.ndarray
    scale: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray


class Probe(NamedTuple):
    """A trained probe and how well it does.

    top1, top5: shares of exactly the test rows; top5 only of more than 5 classes.
    l2: strength of the penalty.  iterations: of L-BFGS, or steps of LARS.
    converged: whether the gradient met its tolerance; None for a schedule of fixed length.
    """

    top1: float
    top5: float | None
    classifier: Classifier
    l2: float
    iterations: int
    converged: bool | None


def logits(classifier: Classifier, features: Array) -> np.ndarray:
    """Scores of the classes: (N, D) -> (N, C) float64."""
    x = (np.asarray(features, np.float64) - classifier.mean) * classifier.scale
    return x @ classifier.kernel + classifier.bias


def statistics(features: Array) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 1/√(variance + eps) of each feature, summed in float64 without a float64 copy."""
    features = np.asarray(features)
    chunks = [features[i : i + CHUNK] for i in range(0, len(features), CHUNK)]
    mean = sum(c.sum(0, dtype=np.float64) for c in chunks) / len(features)
    variance = sum(np.square(c - mean).sum(0) for c in chunks) / len(features)
    return mean, 1.0 / np.sqrt(variance + EPS)


def score(classifier: Classifier, test: FeatureSet) -> tuple[float, float | None]:
    """Top-1 and, of more than 5 classes, top-5: exact counts over exact numbers of rows."""
    counted = tally(lambda x: logits(classifier, x), test)
    return counted.metrics["top1"], counted.metrics["top5"]


class Tally(NamedTuple):
    """How often a classifier is right.

    metrics: top1; top5 of more than 5 classes; mean_per_class, the mean of the classes' own shares.
    hits, counts: (K,) right answers and rows of each class that has any.
    """

    metrics: dict[str, float | None]
    hits: np.ndarray
    counts: np.ndarray

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Of what is no share of all rows."""
        return {"mean_per_class": mean_of_shares(self.hits, self.counts)}


def tally(scores: Callable[[Array], np.ndarray], test: FeatureSet) -> Tally:
    """Exact counts over exactly the test rows, of which few are scored at once.

    scores: (B, D) features -> (B, C), compared in float32; of equal ones the lower class wins.
    """
    parts = []
    for i in range(0, len(test.labels), CHUNK):
        x, y = test.features[i : i + CHUNK], np.asarray(test.labels[i : i + CHUNK])
        scored = np.asarray(scores(x), np.float32)
        parts.append(ranks(scored, y))
    rank, labels = np.concatenate(parts), np.asarray(test.labels)
    counts = np.bincount(labels)
    hits = np.bincount(labels[rank < 1], minlength=len(counts))[counts > 0]
    counts = counts[counts > 0]
    top5 = float((rank < 5).mean()) if scored.shape[1] > 5 else None
    shares = {"top1": float((rank < 1).mean()), "top5": top5}
    return Tally(shares | {"mean_per_class": float((hits / counts).mean())}, hits, counts)


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes are ahead of a row's own: (N, C), (N,) -> (N,); see `metrics.hits`."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    lower = np.arange(scores.shape[1])[None] < labels[:, None]
    return (~(scores <= own) | ((scores == own) & lower)).sum(1)


def class_count(train: FeatureSet, test: FeatureSet, classes: int | None) -> int:
    """The number of classes, of tables that a probe can be made of."""
    require_tables(train, test, what="a probe")
    seen = 1 + int(max(np.max(train.labels), np.max(test.labels)))
    if classes is not None and seen > classes:
        raise ValueError(f"label {seen - 1} is not among {classes} classes")
    return seen if classes is None else classes
