"""A part of a source, spread evenly over it."""

from typing import Any

import numpy as np

from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import Sample, Source

BLOCK = 32  # records drawn together


class Subset:
    """The records of a source at chosen indices; otherwise the source itself."""

    def __init__(self, source: Source, chosen: np.ndarray):
        self._source, self._chosen = source, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Sample:
        return self._source[int(self._chosen[index])]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read(self, index: int) -> Sample | None:
        """The record itself, or None; see `Source`."""
        return protocol.read(self._source, int(self._chosen[index]))

    def where(self, index: int) -> str:
        """How the source names the record."""
        return self._source.where(int(self._chosen[index]))


def spread(source: Source, count: int) -> Subset:
    """At most `count` records, spread over the source, see `places`."""
    return Subset(source, places(len(source), count))


def places(total: int, count: int) -> np.ndarray:
    """At most `count` of `total` indices in order: `BLOCK` drawn from each of equal stretches.

    So a source that is sorted by class keeps its shares, and one whose classes take turns is not
    met in step with them, as every n-th record would be. The draw is always the same.
    """
    count, rng = min(count, total), np.random.default_rng(0)
    ends = np.linspace(0, total, -(-count // BLOCK) + 1).round().astype(int)
    upto = ends * count // max(total, 1)  # grows by no more than `ends` does
    parts = [
        first + np.sort(rng.choice(last - first, number, replace=False))
        for first, last, number in zip(ends[:-1], ends[1:], np.diff(upto), strict=True)
    ]
    return np.concatenate([np.empty(0, int), *parts])
