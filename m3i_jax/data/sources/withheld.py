"""A source without its labels, or without its captions."""

import copy
import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.decoding import Decoder
from m3i_jax.data.sources.protocol import Account, Sample, Source


def withheld(source: Source, what: str) -> Source:
    """The same records without their "labels", or without their "captions"; "" leaves out none."""
    return Withheld(source, labels=what == "labels") if what else source


class Withheld:
    """A source that keeps its labels, with their masks, or its captions to itself."""

    def __init__(self, source: Source, *, labels: bool):
        """labels: whether these are what is kept back."""
        self._source, self._labels = source, labels
        self.classes = () if labels else source.classes

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Sample:
        return self._without(self._source[index])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # not there yet while a copy is being made
            raise AttributeError(name)
        return getattr(self._source, name)

    def decoded_by(self, change: Callable[[Decoder], Decoder]) -> "Withheld":
        """The same of the source with another decoder."""
        twin = copy.copy(self)
        twin._source = protocol.decoded_by(self._source, change)
        return twin

    def read(self, index: int) -> Sample | None:
        """The record itself, or None; see `Source`."""
        sample = protocol.read(self._source, index)
        return None if sample is None else self._without(sample)

    def captions(self) -> Iterable[str]:
        """Those of the source, or as many empty ones."""
        return ("" for _ in range(len(self))) if not self._labels else self._source.captions()

    def fingerprint(self) -> str:
        """A digest of the source's own and of what is left out."""
        said = f"{self._source.fingerprint()} {self._labels}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    @property
    def labels(self) -> np.ndarray | None:
        """Those of the source, or -1 for each record."""
        own = getattr(self._source, "labels", None)
        return np.full(len(self), -1, np.int32) if self._labels else own

    @property
    def account(self) -> Account:
        """That of the source; of one without labels that none has any."""
        account = protocol.account(self._source)
        return account._replace(labelled=0, unknown={}) if self._labels else account

    def _without(self, sample: Sample) -> Sample:
        if self._labels:
            return sample._replace(label=-1, mask=None)
        return sample._replace(caption="")
