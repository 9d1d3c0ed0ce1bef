"""A source whose labels are numbers of other classes, those of the same names."""

import copy
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from m3i_jax.data.sources import naming, protocol
from m3i_jax.data.sources.decoding import Decoder
from m3i_jax.data.sources.protocol import Account, Sample, Source

MASKED = 254  # classes that a mask of bytes can tell apart: 0 is the background


def relabelled(source: Source, classes: Sequence[str] | None) -> Source:
    """The same records, labelled with `classes` by name; the source itself where these are its own.

    A record of a class that is not among them has the label -1, and is in the account.

    Raises:
      ConfigError: two of `classes` look the same.
    """
    if classes is None or tuple(classes) == tuple(source.classes):
        return source
    return Relabelled(source, source.classes, classes)


class Relabelled:
    """A source with other numbers of classes; otherwise the source itself."""

    def __init__(self, source: Source, names: Sequence[str], classes: Sequence[str]):
        """names: of the source's own classes, as `classes` has them."""
        own = np.arange(len(names), dtype=np.int32)
        self._source, self.names = source, tuple(names)
        self._numbers = naming.numbered(own, names, classes).labels
        self.classes = tuple(classes)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Sample:
        return self._with(self._source[index])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # not there yet while a copy is being made
            raise AttributeError(name)
        return getattr(self._source, name)

    def decoded_by(self, change: Callable[[Decoder], Decoder]) -> "Relabelled":
        """The same of the source with another decoder."""
        twin = copy.copy(self)
        twin._source = protocol.decoded_by(self._source, change)
        return twin

    def read(self, index: int) -> Sample | None:
        """The record itself, or None; see `Source`."""
        sample = protocol.read(self._source, index)
        return None if sample is None else self._with(sample)

    def captions(self):
        """Those of the source."""
        return self._source.captions()

    def fingerprint(self) -> str:
        """A digest of the source's own and of the classes."""
        said = f"{self._source.fingerprint()} {self.names} {self.classes}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    @property
    def categories(self) -> tuple[str, ...]:
        """Of masks: the source's background, and these classes."""
        return (*self._source.categories[:1], *self.classes)

    @property
    def labels(self) -> np.ndarray | None:
        """The labels of all records, of a source that says its own."""
        labels = getattr(self._source, "labels", None)
        # The last number is read by a label of -1.
        return None if labels is None else np.append(self._numbers, np.int32(-1))[labels]

    @functools.cached_property
    def account(self) -> Account:
        """That of the source, with the classes that these lack where it says its labels."""
        account = protocol.account(self._source)
        if (labels := self.labels) is None:  # how many are of each class is not known
            return account if (self._numbers >= 0).any() else account._replace(labelled=0)
        own = np.asarray(self._source.labels)
        lost = np.bincount(own[(own >= 0) & (labels < 0)], minlength=len(self.names))
        unknown = {self.names[k]: int(lost[k]) for k in np.flatnonzero(lost)}
        return account._replace(
            labelled=int((labels >= 0).sum()), unknown={**account.unknown, **unknown}
        )

    def _with(self, sample: Sample) -> Sample:
        label = int(self._numbers[sample.label]) if sample.label >= 0 else -1
        mask = sample.mask
        if mask is not None:
            fits = len(self.classes) <= MASKED
            mask = np.append(0, self._numbers + 1).astype(np.uint8)[mask] if fits else None
        return sample._replace(label=label, mask=mask)
