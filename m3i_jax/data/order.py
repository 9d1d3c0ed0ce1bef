"""Which record a sample of the endless stream is: a pure function of the seed and its number.

    sample g = record π_e(g mod N),   e = ⌊g / N⌋,   π_e a permutation drawn from (seed + e)

N is the length of the source. A permutation is computed where it is asked for, one index at a time,
so no index is in memory, and nothing but the number says where a stream is.

Where a source says how often an epoch shows each record (`Source.repeats`), an epoch is a list that
has them so often, drawn from (seed, e), and π_e a permutation of its places: `data.repeats`.

In a mixture sample g is the next one of some component: of the samples before it c_k(g) were of
component k, which is shuffled as a source of its own is, from a seed of its own,

    sample g = record π^k_e(c_k(g) mod N_k) of component k,   e = ⌊c_k(g) / N_k⌋,

so every record of a component is met once in each pass over it, whatever the others do. The counts
are exact and cost O(K): the heaviest component has ⌊g w + ½⌋ of the samples, w its share, and the
others share the rest among themselves in the same way. Other weights, from some sample on, count
from there; how far the components have come is left as it is.
"""

import functools
import itertools
import math
import sys
import zlib
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from logging import getLogger
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.data.repeats import Repeats
from m3i_jax.data.sources.protocol import Component, Sample, Source
from m3i_jax.types import Array

LOG = getLogger(__name__)
ROUNDS = 4  # of the cipher that permutes; with others every stream would be another one


class Segment(NamedTuple):
    """A stretch of a stream with the same weights.

    start: its first sample.  weights: {component: how often it is drawn beside the others}.
    """

    start: int
    weights: Mapping[str, float]


def order_of(
    source: Source, *, seed: int, segments: Sequence[Segment] = ()
) -> Callable[[int], int]:
    """(sample number) -> record of `source`: every record once an epoch, or as often as the source
    says, reshuffled each time.

    seed: 0 <= seed < 2^32.
    segments: with which weights a mixture was drawn from, and is from the last one on; none stands
      for the source's own from the first sample on.
    """
    components, often = getattr(source, "components", ()), getattr(source, "repeats", None)
    if not components:
        return _endless(len(source), often, seed)
    return _mixed(components, often, seed, segments or (Segment(0, weights_of(components)),))


def _endless(length: int, often: Float[Array, " rows"] | None, seed: int) -> Callable[[int], int]:
    """(position) -> record of a reshuffled repetition; often: see `Source.repeats`."""
    if often is None:
        return lambda position: shuffled(position, length=length, seed=seed)
    lists = Repeats(often, seed=seed)

    def record(position: int) -> int:
        epoch, within, count = lists.place(position)
        return lists.record(epoch, _permuted(within, count, seed + epoch))

    return record


def _mixed(
    components: Sequence[Component],
    often: Float[Array, " rows"] | None,
    seed: int,
    segments: Sequence[Segment],
) -> Callable[[int], int]:
    """The order of a mixture."""
    for segment, one in itertools.product(segments, components):
        if not one.length and segment.weights[one.name]:
            raise ConfigError(f"the component '{one.name}' of a mixture has no record left")
    firsts = [0, *accumulate(component.length for component in components)]
    own = [None if often is None else often[a:b] for a, b in pairwise(firsts)]
    endless = [
        _endless(one.length, part, (seed + zlib.crc32(one.name.encode())) % 2**32)
        for one, part in zip(components, own, strict=True)
    ]
    starts = [segment.start for segment in segments]
    whole = [_whole([segment.weights[one.name] for one in components]) for segment in segments]
    so_far = [(0,) * len(components)]  # samples of each component before each segment
    for (start, end), weights in zip(pairwise(starts), whole, strict=False):
        so_far.append(tuple(map(sum, zip(so_far[-1], counts(weights, end - start), strict=True))))

    def record(sample: int) -> int:
        place = bisect_right(starts, sample) - 1
        k, before = turn(whole[place], sample - starts[place])
        return firsts[k] + endless[k](so_far[place][k] + before)

    return record


def shuffled(position: int, *, length: int, seed: int) -> int:
    """Record of a sequence of `length` at a position of its endless reshuffled repetition."""
    epoch, within = divmod(position, length)
    return _permuted(within, length, seed + epoch)


def _permuted(place: int, length: int, seed: int) -> int:
    """π of a place among so many."""
    return _cipher()(place, max_index=length - 1, seed=seed % 2**32, rounds=ROUNDS)


@functools.cache
def _cipher() -> Callable[..., int]:
    """What permutes; loaded late, as a run is described before it reads."""
    from grain.experimental import index_shuffle

    return index_shuffle


def turn(weights: Sequence[int], sample: int) -> tuple[int, int]:
    """(component of a sample, how many of the samples before it are of that one)."""
    rest = sum(weights)
    for k in _heaviest_first(weights):
        before = _rounded(sample, weights[k], rest)
        if _rounded(sample + 1, weights[k], rest) > before:
            return k, before
        sample, rest = sample - before, rest - weights[k]
    raise ValueError(f"weights of {weights} draw no component")


def counts(weights: Sequence[int], samples: int) -> tuple[int, ...]:
    """How many of the first samples each component has, all of them together."""
    rest, counts = sum(weights), [0] * len(weights)
    for k in _heaviest_first(weights):
        if weights[k]:
            counts[k] = _rounded(samples, weights[k], rest)
        samples, rest = samples - counts[k], rest - weights[k]
    return tuple(counts)


def _heaviest_first(weights: Sequence[int]) -> list[int]:
    """The components by falling weight: each against those behind it."""
    return sorted(range(len(weights)), key=lambda k: -weights[k])


def _rounded(samples: int, weight: int, total: int) -> int:
    """⌊samples · weight / total + ½⌋."""
    return (2 * samples * weight + total) // (2 * total)


def weights_of(components: Sequence[Component]) -> dict[str, float]:
    """{component: its weight}, by lengths where a mixture does not say any."""
    return {one.name: one.length if one.weight is None else one.weight for one in components}


def _whole(weights: Sequence[float]) -> tuple[int, ...]:
    """The smallest whole numbers that are to each other as weights are, as these are written."""
    parts = [Fraction(str(weight)) for weight in weights]
    least = math.lcm(*(part.denominator for part in parts))
    numbers = [int(part * least) for part in parts]
    return tuple(number // (math.gcd(*numbers) or 1) for number in numbers)


def continued(source: Source, segments: Sequence[Segment], *, at: int) -> tuple[Segment, ...]:
    """The segments of a stream that goes on at sample `at` with the source's own weights.

    () of a source that is no mixture. Weights that are to each other as they were are no change.
    """
    components = getattr(source, "components", ())
    if not components:
        return ()
    own = weights_of(components)
    earlier = [segment for segment in segments if segment.start < at]
    if not earlier:
        return (Segment(0, own),)
    if _whole([*own.values()]) == _whole([earlier[-1].weights[name] for name in own]):
        return tuple(earlier)
    LOG.info(
        "from sample %d on the mixture is drawn by weights of %s, before by %s",
        *(at, _said(own), _said(earlier[-1].weights)),
    )
    return (*earlier, Segment(at, own))


def _said(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {weight:g}" for name, weight in sorted(weights.items()))


def epoch_length(source: Source) -> int:
    """Samples in an epoch: all records, or of a mixture those in a pass over `epoch_of`.

    In the mean, where records are shown more often than once.
    """
    name, components = getattr(source, "epoch_of", ""), getattr(source, "components", ())
    often = getattr(source, "repeats", None)
    if not components or not name:
        return len(source) if often is None else round(float(np.sum(often)))
    place = [one.name for one in components].index(name)
    weights, length = _whole([*weights_of(components).values()]), components[place].length
    if often is not None:
        first = sum(one.length for one in components[:place])
        length = round(float(np.sum(often[first : first + length])))
    return -(-length * sum(weights) // weights[place])


class Ordered:
    """The records of a source in an order without end, each `times` times in succession."""

    def __init__(self, source: Source, record: Callable[[int], int], *, times: int = 1):
        self._source, self._record, self._times = source, record, times

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> Sample:
        return self._source[self._record(index // self._times)]
