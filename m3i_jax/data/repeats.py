"""Records that an epoch shows more often than others, rounded up or down by chance in each anew.

    n_e(i) = ⌊r_i⌋ + [u < r_i − ⌊r_i⌋],   u uniform on [0, 1), drawn from (seed, e) for all i

Record i is n_e(i) times in epoch e, r_i times in the mean: repeat factor sampling (Gupta et al.
2019, Appendix B.2, https://arxiv.org/abs/1908.03195). So epochs differ a little in length; where
one begins is counted from the first on, milliseconds for a hundred thousand records.
"""

import functools
import threading
from bisect import bisect_right

import numpy as np
from jaxtyping import Float, Int64

from m3i_jax.types import Array

KEPT = 4  # epochs that threads are in at once


def times(often: Float[Array, " rows"], *, seed: int, epoch: int) -> Int64[Array, " rows"]:
    """n_e, how often an epoch shows each record; (N,).

    often: r, 1 or more.
    """
    # Raw bits, which every version of NumPy makes alike; the upper 53 are a number of float64.
    bits = np.random.PCG64(np.random.SeedSequence((seed, epoch))).random_raw(len(often))
    whole = np.floor(often)
    return (whole + ((bits >> 11) * 2.0**-53 < often - whole)).astype(np.int64)


class Repeats:
    """The epochs of a sequence without end: each a list of all records, in their order.

    Two that are made of the same numbers are the same; one may be asked by several threads.
    """

    def __init__(self, often: Float[Array, " rows"], *, seed: int):
        """often: r, see above.

        Raises:
          ValueError: less than one for some record, or what is no number.
        """
        self._often, self._seed = np.asarray(often, np.float64), seed
        if not (np.isfinite(self._often) & (self._often >= 1)).all():
            raise ValueError("an epoch shows some record less often than once, or no one can say")
        self._starts, self._lock = [0], threading.Lock()
        self._ends = functools.lru_cache(KEPT)(self._counted)

    def place(self, position: int) -> tuple[int, int, int]:
        """The epoch that a position is in, its place there, and how long the epoch is."""
        starts = self._starts
        with self._lock:
            while starts[-1] <= position:
                starts.append(starts[-1] + int(self._times(len(starts) - 1).sum()))
        epoch = bisect_right(starts, position) - 1
        return epoch, position - starts[epoch], starts[epoch + 1] - starts[epoch]

    def record(self, epoch: int, place: int) -> int:
        """Which record is there in the list of an epoch."""
        return int(np.searchsorted(self._ends(epoch), place, side="right"))

    def _times(self, epoch: int) -> Array:
        return times(self._often, seed=self._seed, epoch=epoch)

    def _counted(self, epoch: int) -> Array:
        """The place behind the last one of each record."""
        return np.cumsum(self._times(epoch))
