"""A part of a source, spread evenly over it."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.decoding import Decoder
from m3i_jax.data.sources.protocol import Component, Sample, Source

BLOCK = 32  # records drawn together
ASKED = (
    "encoded",
    "person",
    "image_id",
)  # members of a source that are asked for by the number of a record
WHOLE = ("truth",)  # members that are about all records, and say nothing of a part


class Subset:
    """The records of a source at chosen indices; otherwise the source itself."""

    def __init__(
        self, source: Source, chosen: np.ndarray, *, components: tuple[Component, ...] = ()
    ):
        """components: of a part of a mixture that is one, see `Source`; () = its records are."""
        self._source, self._chosen, self.components = source, chosen, components

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Sample:
        return self._source[int(self._chosen[index])]

    def __getattr__(self, name: str) -> Any:
        if name in WHOLE:
            raise AttributeError(name)
        value = getattr(self._source, name)
        if name not in ASKED:
            return value
        return lambda index: value(int(self._chosen[index]))

    def decoded_by(self, change: Callable[[Decoder], Decoder]) -> "Subset":
        """The same of the source with another decoder."""
        source = protocol.decoded_by(self._source, change)
        return Subset(source, self._chosen, components=self.components)

    def read(self, index: int) -> Sample | None:
        """The record itself, or None; see `Source`."""
        return protocol.read(self._source, int(self._chosen[index]))

    def captions(self) -> Iterator[str]:
        """Those of the chosen records, in order."""
        said = list(self._source.captions())
        return (said[int(index)] for index in self._chosen)

    @property
    def labels(self) -> np.ndarray | None:
        """The labels of these records, of a source that says its own."""
        labels = getattr(self._source, "labels", None)
        return None if labels is None else np.asarray(labels)[self._chosen]

    @property
    def repeats(self) -> np.ndarray | None:
        """How often an epoch shows these records, of a source that says it."""
        repeats = getattr(self._source, "repeats", None)
        return None if repeats is None else np.asarray(repeats)[self._chosen]

    def fingerprint(self) -> str:
        """A digest of the source's own and of which records these are."""
        chosen = np.ascontiguousarray(self._chosen, "<i8")
        return hashlib.sha256(self._source.fingerprint().encode() + bytes(chosen)).hexdigest()[:16]

    def where(self, index: int) -> str:
        """How the source names the record."""
        return self._source.where(int(self._chosen[index]))


def mixed(source: Source, chosen: np.ndarray) -> Subset:
    """The records at chosen indices, in order; of a mixture a mixture again."""
    chosen, components, first = np.sort(chosen), [], 0
    for one in getattr(source, "components", ()):
        ends = np.searchsorted(chosen, [first, first + one.length])
        components.append(one._replace(length=int(np.diff(ends)[0])))
        first += one.length
    return Subset(source, chosen, components=tuple(components))


def spread(source: Source, count: int) -> Subset:
    """At most `count` records, spread over the source, see `places`."""
    return Subset(source, places(len(source), count))


def covering(source: Source, count: int) -> Subset:
    """`spread`, in which every class has a record, where the source has so few classes.

    A class that has none takes the place of a record of a class with most of them. Only a source
    that says its `labels` without reading a record can be asked.
    """
    chosen = places(len(source), count)
    labels = getattr(source, "labels", None)
    if labels is None:
        return Subset(source, chosen)
    there, first = np.unique(labels, return_index=True)
    lacking = first[(there >= 0) & ~np.isin(there, labels[chosen])]
    surplus = _surplus(labels[chosen])[: len(lacking)]
    kept = np.delete(chosen, surplus)
    return Subset(source, np.sort(np.concatenate([kept, lacking[: len(surplus)]])))


def _surplus(labels: np.ndarray) -> np.ndarray:
    """Places of what can be left out, first what is of the largest classes; not the last of one."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    rank = np.arange(len(labels)) - np.searchsorted(ordered, ordered)  # within its class
    rank = np.where(ordered < 0, len(labels), rank)  # without a label nobody votes
    return order[np.argsort(-rank, kind="stable")][: int((rank > 0).sum())]


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
