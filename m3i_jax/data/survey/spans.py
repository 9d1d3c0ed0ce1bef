"""Where numbers lie: the least of them, the middle one, the largest."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Span(NamedTuple):
    """The least of some numbers, their median, the largest; all 0 of none."""

    least: float
    median: float
    most: float


def span(numbers: ArrayLike) -> Span:
    """The span of numbers, as plain floats."""
    values = np.asarray(numbers, float)
    if not values.size:
        return Span(0.0, 0.0, 0.0)
    return Span(float(values.min()), float(np.median(values)), float(values.max()))
