"""Images that are there twice: of equal pixels, whatever their files are called or hold beside."""

from typing import NamedTuple

import numpy as np

from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.survey.split import Looked

SHOWN = 100  # pairs that are named


class Duplicates(NamedTuple):
    """count: images that are there before.   pairs: (record, the first like it) of some of them."""

    count: int
    pairs: tuple[tuple[str, str], ...]


def within(split: Looked) -> Duplicates:
    """The images of a split that one before them equals."""
    _, first, place = np.unique(split.digests, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[place] != np.arange(len(place)))
    of = split.source
    return _named(of, split.indices[again], of, split.indices[first[place[again]]])


def across(train: Looked, test: Looked) -> Duplicates:
    """The images of a test split that training has, too."""
    known, first = np.unique(train.digests, return_index=True)
    place = np.searchsorted(known, test.digests).clip(max=max(len(known) - 1, 0))
    twice = known[place] == test.digests if len(known) else np.zeros(len(test.digests), bool)
    again = np.flatnonzero(twice)
    others = train.indices[first[place[again]]]
    return _named(test.source, test.indices[again], train.source, others)


def _named(of: Source, indices: np.ndarray, others_of: Source, others: np.ndarray) -> Duplicates:
    pairs = zip(indices[:SHOWN].tolist(), others[:SHOWN].tolist(), strict=True)
    return Duplicates(len(indices), tuple((where(of, i), where(others_of, j)) for i, j in pairs))


def where(source: Source, index: int) -> str:
    """How a source names a record, or its number."""
    return source.where(index) if hasattr(source, "where") else f"record {index}"
