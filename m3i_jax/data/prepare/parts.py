"""Which records are in which part of a prepared copy: a shard, or a stretch of a folder."""

from typing import NamedTuple

import numpy as np

from m3i_jax.data.sources.protocol import Source
from m3i_jax.types import Array


class Part(NamedTuple):
    """Records `indices` of a source, in this order: part `number` of `count` of a split.

    first: place of the first of them in the order of the split.
    """

    split: str
    number: int
    count: int
    first: int
    source: Source
    indices: Array

    @property
    def name(self) -> str:
        """Such as train-00003-of-00012."""
        return f"{self.split}-{self.number:05d}-of-{self.count:05d}"


def parts(split: str, source: Source, *, count: int, seed: int | None) -> list[Part]:
    """The records of a split cut into `count` parts of equal lengths, or one less.

    seed: of a shuffled order; None keeps that of the source.
    """
    total = len(source)
    order = np.arange(total) if seed is None else np.random.default_rng(seed).permutation(total)
    count = max(1, min(count, total))
    ends = np.arange(count + 1) * total // count
    return [
        Part(split, n, count, int(first), source, order[first:last])
        for n, (first, last) in enumerate(zip(ends[:-1], ends[1:], strict=True))
    ]
