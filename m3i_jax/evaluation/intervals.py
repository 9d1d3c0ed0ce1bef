"""Confidence intervals of what an evaluation counts."""

import math
from collections.abc import Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float

from m3i_jax.types import Array

Z = 1.959963984540054  # of the normal distribution, 95 % of which lie within ±Z


def wilson(share: float, count: int, *, z: float = Z) -> tuple[float, float]:
    """The interval of a share of right answers among `count` rows, each right or wrong by itself.

        (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)

    Wilson 1927, https://doi.org/10.2307/2276774. Never outside [0, 1], and not empty at 0 and 1.

    Args:
      share: p, from 0 to 1.
      count: n, of one row or more.
      z: half its width in standard deviations, 95 % by default.

    Raises:
      ValueError: a share or a count that is none.
    """
    if count < 1 or not 0 <= share <= 1:
        raise ValueError(f"{share} of {count} rows is no share: expected 0 to 1, of 1 row or more")
    square = z * z / count
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def of_mean(values: Float[Array, " rows"], *, z: float = Z) -> tuple[float, float]:
    """The interval of the mean of observations that are drawn by themselves: x̄ ± z s/√n.

    s² is the unbiased variance. Of one observation, the mean itself twice: it says nothing.

    Args:
      values: one for each row.
      z: half its width in standard deviations of the mean, 95 % by default.
    """
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    half = z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean - half, mean + half


def mean_of_shares(hits: np.ndarray, counts: np.ndarray, *, z: float = Z) -> tuple[float, float]:
    """The interval of the mean over classes of the share of right answers in each.

        mean ± z √(Σ_c p̃_c(1 − p̃_c)/n_c) / C,   p̃_c = (hits_c + 2)/(n_c + 4)

    Normal approximation; p̃ is Agresti & Coull's (1998, https://doi.org/10.2307/2685469), so that
    classes without an error have a width too.

    Args:
      hits, counts: (C,), right answers and rows of each class; every class has a row.
    """
    hits, counts = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    mean, near = float((hits / counts).mean()), (hits + 2) / (counts + 4)
    half = z * math.sqrt(float((near * (1 - near) / counts).sum())) / len(counts)
    return max(0.0, mean - half), min(1.0, mean + half)


def student(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean share of repeated draws: mean ± t₀.₉₇₅(n−1) s/√n, n ≥ 2.

    It says what other draws would give on the same test rows, not what other test rows would. What
    of it lies outside [0, 1], where no share is, is left out.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} values have no spread; expected 2 or more")
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(scipy.stats.t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))
    return max(0.0, mean - half), min(1.0, mean + half)
