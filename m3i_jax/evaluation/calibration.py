"""Whether a classifier's probabilities are what it gets right: calibration, and proper scores.

Guo et al. 2017, https://arxiv.org/abs/1706.04599; docs/methods.md#calibration. Everything is
float64 on the host, from logits, so that a probability of 1 has a likelihood, too.
"""

from typing import NamedTuple

import numpy as np
import scipy.optimize
from jaxtyping import Bool, Float, Int

from m3i_jax.types import Array

CHUNK = 4096  # rows whose probabilities are in memory at once
BINS = 15  # as Guo et al. have it
COLDEST, HOTTEST = 1e-3, 1e3  # temperatures that are looked at


class Judged(NamedTuple):
    """What each row's probabilities p say, and whether it is so; all (N,).

    confidence: max_c p_c.  right: whether that class is the label.
    likelihood: −ln p of the label, in nats.  brier: Σ_c (p_c − [y = c])², between 0 and 2.
    """

    confidence: Float[np.ndarray, " rows"]
    right: Bool[np.ndarray, " rows"]
    likelihood: Float[np.ndarray, " rows"]
    brier: Float[np.ndarray, " rows"]


class Reliability(NamedTuple):
    """Rows by their confidence, a bin after the other, (low, high] each; empty ones are left out.

    low, high: ends.  count: rows.  confidence: mean of theirs.  accuracy: share that is right.
    """

    low: Float[np.ndarray, " bins"]
    high: Float[np.ndarray, " bins"]
    count: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]

    @property
    def expected_error(self) -> float:
        """Σ_m (|B_m|/n) |accuracy(B_m) − confidence(B_m)|, Guo et al.'s Eq. 3."""
        return float((self.count * self._gaps).sum() / self.count.sum())

    @property
    def maximum_error(self) -> float:
        """max_m |accuracy(B_m) − confidence(B_m)|, Guo et al.'s Eq. 5."""
        return float(self._gaps.max())

    @property
    def _gaps(self) -> Float[np.ndarray, " bins"]:
        return np.abs(self.accuracy - self.confidence)


def judged(
    logits: Float[Array, "rows classes"], labels: Int[Array, " rows"], *, temperature: float = 1.0
) -> Judged:
    """What softmax(logits / temperature) says of each row.

    Of equally likely classes the lower one is the answer.

    Raises:
      ValueError: no rows, a label that is no class, or logits that are not finite.
    """
    logits, labels = _checked(logits, labels)
    columns = []
    for first in range(0, len(labels), CHUNK):
        z, y = logits[first : first + CHUNK], labels[first : first + CHUNK]
        log_p = _log_softmax(np.asarray(z, np.float64) / temperature)
        p, own = np.exp(log_p), (np.arange(len(y)), y)
        error = p.copy()
        error[own] -= 1.0
        columns.append((p.max(1), z.argmax(1) == y, -log_p[own], np.square(error).sum(1)))
    return Judged(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def reliability(
    confidence: Float[Array, " rows"],
    right: Bool[Array, " rows"],
    *,
    bins: int = BINS,
    equal: str = "width",
) -> Reliability:
    """How often rows of each confidence are right.

    Args:
      confidence: of the answer, in [0, 1].
      right: whether it is the label.
      bins: how many.
      equal: "width" parts [0, 1] evenly (Guo et al.); "mass" at the quantiles of the confidences,
        so that each bin has as many rows, but for those of one confidence, which stay together
        (Nixon et al. 2019, https://arxiv.org/abs/1904.01685).
    """
    if equal not in ("width", "mass"):
        raise ValueError(f"bins are of equal 'width' or 'mass', not '{equal}'")
    if bins < 1 or not len(confidence):
        raise ValueError(f"{len(confidence)} rows in {bins} bins; expected one or more of both")
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right)
    edges = np.linspace(0.0, 1.0, bins + 1)
    edges = np.quantile(confidence, edges) if equal == "mass" else edges
    place = np.searchsorted(edges[1:-1], confidence)
    count = np.bincount(place, minlength=bins)
    there = count > 0
    mean = lambda x: np.bincount(place, x, minlength=bins)[there] / count[there]  # noqa: E731
    ends = edges[:-1][there], edges[1:][there]
    return Reliability(*ends, count[there], mean(confidence), mean(right))


def fitted_temperature(logits: Float[Array, "rows classes"], labels: Int[Array, " rows"]) -> float:
    """The temperature T whose softmax(logits/T) makes the labels likeliest (Guo et al. 2017, §4.2).

    Σ_i −log softmax(β z_i)[y_i] is convex in β = 1/T; its slope Σ_i (E_p z − z_y) has one root.
    Rows that are all right want T = 0, and those that are no better than chance T = ∞: the answer
    lies between `COLDEST` and `HOTTEST`.

    Raises:
      ValueError: see `judged`.
    """
    logits, labels = _checked(logits, labels)
    z = np.asarray(logits, np.float64)
    z = z - np.take_along_axis(z, labels[:, None], 1)

    def slope(cold: float) -> float:
        parts = (z[i : i + CHUNK] for i in range(0, len(z), CHUNK))
        return sum((np.exp(_log_softmax(np.exp(cold) * part)) * part).sum() for part in parts)

    ends = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    if slope(ends[0]) >= 0:
        return HOTTEST
    if slope(ends[1]) <= 0:
        return COLDEST
    return float(np.exp(-scipy.optimize.brentq(slope, *ends, xtol=1e-12)))


def _checked(
    logits: Float[Array, "rows classes"], labels: Int[Array, " rows"]
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels that there are probabilities of."""
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"logits of shape {logits.shape} and labels of shape {labels.shape}; expected (N, C) "
            "and (N,), N one or more"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels from {labels.min()} to {labels.max()} of {logits.shape[1]}")
    if bad := int((~np.isfinite(logits).all(axis=1)).sum()):
        raise ValueError(f"{bad} of {len(labels)} rows have logits that are not finite")
    return logits, labels


def _log_softmax(z: Float[np.ndarray, "rows classes"]) -> Float[np.ndarray, "rows classes"]:
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))
