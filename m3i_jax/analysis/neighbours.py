"""Nearest neighbours of a few rows among many, by cosine, in bounded memory."""

import numpy as np
from jaxtyping import Float, Int

from m3i_jax import normalize

CHUNK = 4096  # rows that are compared at once


def nearest(
    features: Float[np.ndarray, "rows dim"], queries: Int[np.ndarray, " queries"], *, k: int
) -> tuple[Int[np.ndarray, "queries k"], Float[np.ndarray, "queries k"]]:
    """The k rows of largest cosine with each row of `queries`, but for itself, and the cosines.

    Of equal ones the earlier row is first. k beyond all other rows means all of them.

    features: (N, D), perhaps on disk: `CHUNK` rows are read at a time.
    """
    k = min(k, len(features) - 1)
    asked = _directions(features[queries])
    rows = np.zeros((len(queries), 0), np.int64)
    cosines = np.zeros((len(queries), 0), np.float32)
    for first in range(0, len(features), CHUNK):
        near = asked @ _directions(features[first : first + CHUNK]).T
        numbers = first + np.arange(near.shape[1])
        near[queries[:, None] == numbers] = -np.inf
        rows = np.concatenate([rows, np.broadcast_to(numbers, near.shape)], axis=1)
        cosines = np.concatenate([cosines, near], axis=1)
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        rows, cosines = (np.take_along_axis(x, best, axis=1) for x in (rows, cosines))
    return rows, cosines


def _directions(x: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    return np.asarray(normalize.unit(np.asarray(x)))
