"""Principal components of patch features as colours, as DINOv2 shows them.

Oquab et al. 2024, Figure 1, https://arxiv.org/abs/2304.07193.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

RANGE = (0.01, 0.99)  # quantiles that become 0 and 255: no token far out takes all contrast


class Components(NamedTuple):
    """Directions of most variance around a mean.

    mean: (D,).  directions: (k, D), orthonormal rows.  shares: (k,) of all variance.
    """

    mean: Float[np.ndarray, " dim"]
    directions: Float[np.ndarray, "count dim"]
    shares: Float[np.ndarray, " count"]


def fit(x: Float[np.ndarray, "rows dim"], *, count: int = 3) -> Components:
    """The first principal components of rows (N, D), in float64.

    Signs are free: the largest entry of each direction is positive, as in scikit-learn, so that
    equal features have equal colours.

    Raises:
      ValueError: fewer rows than 2, or fewer directions than `count`.
    """
    x = np.asarray(x, np.float64)
    if len(x) < 2 or x.shape[1] < count:
        raise ValueError(f"{count} components of {len(x)} rows of {x.shape[1]} numbers")
    mean = x.mean(0)
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean))
    directions = vectors[:, ::-1][:, :count].T
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], axis=1)
    values = values[::-1].clip(0)
    shares = values[:count] / max(values.sum(), np.finfo(np.float64).tiny)
    return Components(mean, directions * np.where(largest < 0, -1.0, 1.0), shares)


def scores(
    components: Components, x: Float[np.ndarray, "*positions dim"]
) -> Float[np.ndarray, "*positions count"]:
    """How far features lie along each direction: (..., D) -> (..., k)."""
    return (np.asarray(x, np.float64) - components.mean) @ components.directions.T


def foreground(first: Float[np.ndarray, "images rows columns"]) -> Bool[np.ndarray, "images r c"]:
    """The side of 0 of the first component that has less of the border of the images.

    Which side of it objects are on is chance; photographs have them in the middle.
    """
    side = first > 0
    border = np.ones(first.shape[1:], bool)
    border[1:-1, 1:-1] = False
    return side if side[:, border].mean() <= 0.5 else ~side


def colours(
    scores: Float[np.ndarray, "images rows columns 3"],
    *,
    among: Bool[np.ndarray, "images rows columns"] | None = None,
) -> UInt8[np.ndarray, "images rows columns 3"]:
    """Three components as red, green and blue, each on the scale of all images together.

    among: the cells that are coloured, and that the scale is of; the others are black. None = all.
    """
    among = np.ones(scores.shape[:-1], bool) if among is None else among
    if not among.any():
        return np.zeros(scores.shape, np.uint8)
    low, high = np.quantile(scores[among], RANGE, axis=0)
    share = (scores - low) / np.maximum(high - low, np.finfo(np.float64).tiny)
    return np.where(among[..., None], np.rint(255 * share.clip(0, 1)), 0).astype(np.uint8)
