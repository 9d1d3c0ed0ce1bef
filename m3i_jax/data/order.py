"""Which record a sample of the endless stream is: a pure function of the seed and its number.

    sample g = record π_e(g mod N),   e = ⌊g / N⌋,   π_e a permutation drawn from (seed + e)

N is the length of the source. A permutation is computed where it is asked for, one index at a time,
so no index is in memory, and nothing but the number says where a stream is.
"""

import sys
from collections.abc import Callable

from grain.experimental import index_shuffle

from m3i_jax.data.sources.protocol import Sample, Source

ROUNDS = 4  # of the cipher that permutes; with others every stream would be another one


def order_of(source: Source, *, seed: int) -> Callable[[int], int]:
    """(sample number) -> record of `source`: every record once an epoch, reshuffled each time.

    seed: 0 <= seed < 2^32.
    """
    length = len(source)
    return lambda sample: shuffled(sample, length=length, seed=seed)


def shuffled(position: int, *, length: int, seed: int) -> int:
    """Record of a sequence of `length` at a position of its endless reshuffled repetition."""
    epoch, within = divmod(position, length)
    return index_shuffle(within, max_index=length - 1, seed=(seed + epoch) % 2**32, rounds=ROUNDS)


class Ordered:
    """The records of a source in an order without end, each `times` times in succession."""

    def __init__(self, source: Source, record: Callable[[int], int], *, times: int = 1):
        self._source, self._record, self._times = source, record, times

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> Sample:
        return self._source[self._record(index // self._times)]
