"""Classifiers of few labelled images: which images, ridge regression and logistic regression."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes import logistic
from m3i_jax.evaluation.probes.ncm import unit
from m3i_jax.evaluation.probes.probe import Classifier, statistics

PENALTIES = tuple(10.0**i for i in range(-3, 6))  # α that `ridge` chooses from


def draw(
    labels: Int[np.ndarray, " rows"],
    *,
    shots: int | None = None,
    share: float | None = None,
    seed: int = 0,
    names: Sequence[str] = (),
) -> Int[np.ndarray, " drawn"]:
    """Numbers of randomly drawn rows, as many of each class that there is.

    Args:
      labels: of all rows.
      shots: rows of each class.
      share: of each class's rows instead, rounded, one at least.
      seed: of the draw; the rows of fewer shots are among those of more.
      names: of the classes, for messages.

    Raises:
      NotMeasurable: a class has fewer rows than shots.
    """
    if (shots is None) == (share is None):
        raise ValueError("expected either shots or a share of each class")
    rng, taken = np.random.default_rng(seed), []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        count = shots if shots is not None else max(1, round(share * len(rows)))
        if count > len(rows):
            name = names[label] if label < len(names) else str(label)
            raise NotMeasurable(
                f"{count} shots need as many training images of each class, but '{name}' has "
                f"{len(rows)}; give at most that many shots"
            )
        taken.append(rows[:count])
    return np.concatenate(taken)


class Ridge(NamedTuple):
    """A classifier by least squares.

    penalty: that was chosen.  errors: (P,) mean squared leave-one-out errors of all penalties.
    """

    classifier: Classifier
    penalty: float
    errors: Float[np.ndarray, " penalties"]


def ridge(train: FeatureSet, classes: int, *, penalties: Sequence[float] = PENALTIES) -> Ridge:
    """Least squares to +1 for a row's own class and −1 for the others, in closed form, float64.

        min_{W,b} Σ_i ‖W'x_i + b − y_i‖² + α‖W‖²,   α the one of least leave-one-out error
        e_i = (y_i − ŷ_i)/(1 − h_i),   h_i = 1/n + Σ_k u_ik² s_k²/(s_k² + α),   X = USV'

    of standardised features x. The errors are exactly those of n fits that each leave a row out,
    standardised as before (Allen 1974; Hastie et al. 2009, Eq. 7.64); of equals the largest α.

    Args:
      train: features and labels.
      classes: how many there are.
      penalties: α to choose from, positive.
    """
    mean, scale = statistics(train.features)
    x = (np.asarray(train.features, np.float64) - mean) * scale
    y = 2.0 * (np.asarray(train.labels)[:, None] == np.arange(classes)) - 1.0
    bias = y.mean(0)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    inner = u.T @ (y - bias)
    errors = []
    for alpha in penalties:
        kept = s**2 / (s**2 + alpha)
        left = 1 - 1 / len(x) - np.square(u) @ kept
        residual = y - bias - u @ (kept[:, None] * inner)
        errors.append(np.square(residual / np.maximum(left, 1e-12)[:, None]).mean())
    errors = np.asarray(errors)
    alpha = max(a for a, e in zip(penalties, errors, strict=True) if e == errors.min())
    kernel = vt.T @ ((s / (s**2 + alpha))[:, None] * inner)
    return Ridge(Classifier(mean, scale, kernel, bias), float(alpha), errors)


def msn_rows(features: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """Rows less their own mean, of length 1: what MSN's logistic regression sees; float32."""
    x = np.asarray(features, np.float64)
    return unit(x - x.mean(1, keepdims=True)).astype(np.float32)


def msn(train: FeatureSet, classes: int, *, strength: float = 0.1) -> Classifier:
    """MSN's logistic regression, of rows that `msn_rows` gives: to its optimum.

        min_W (1/n) Σ_i −log softmax(W'x_i)[y_i] + (λ/2n)‖W‖²

    Without a bias (Assran et al. 2022, https://arxiv.org/abs/2204.07141, logistic_eval.py).

    Args:
      train: features and labels, of `msn_rows`.
      classes: how many there are.
      strength: λ.
    """
    n = len(train.labels)
    search = dict(tolerance=1e-6, limit=2000, rows=n, exact=True, plain=True, quiet=True)
    (fit,) = logistic.path(train, classes, (strength / n,), **search)
    return fit.classifier
