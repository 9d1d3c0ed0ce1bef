"""A part of a source, spread evenly over it."""

from typing import Any

import numpy as np

from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import Sample, Source


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


def every_nth(source: Source, count: int) -> Subset:
    """At most `count` records, spread evenly over the source."""
    total = len(source)
    chosen = np.linspace(0, total - 1, min(count, total)).round().astype(int)
    return Subset(source, np.unique(chosen))
