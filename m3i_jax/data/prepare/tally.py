"""What is noted of the records of a part while they pass by, and when too many are broken."""

import collections
from collections.abc import Iterable, Iterator
from typing import Any

from m3i_jax.data.prepare.parts import Part
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.prepare.seals import Seal
from m3i_jax.data.sources.manifest import Stored
from m3i_jax.data.sources.unreadable import TooManyUnreadable

SHOWN = 3  # reasons in a sentence


class Tally:
    """Counts the broken records of all parts, and refuses too many of a split.

    share: of a split that may be broken; one record always may, unless it is 0.
    """

    def __init__(self, share: float):
        self._share = share
        self._broken: collections.defaultdict[str, list[str]] = collections.defaultdict(list)

    def add(self, part: Part, reasons: Iterable[str]) -> None:
        """Counts broken records of a part.

        Raises:
          TooManyUnreadable: the split has more than it may.
        """
        broken, total = self._broken[part.split], len(part.source)
        broken += reasons
        allowed = max(1, int(self._share * total + 1e-9)) if self._share else 0
        if len(broken) > allowed:
            raise TooManyUnreadable(
                f"{len(broken)} of {total} records of the {part.split} split cannot be read, more "
                f"than the {allowed} that --unreadable={self._share:g} allows; m3i data names all. "
                f"The first: {'; '.join(broken[:SHOWN])}"
            )


class Passing:
    """The rows of a part, in order; what they are is noted as they are taken."""

    def __init__(self, part: Part, rows: Iterable[Row], tally: Tally):
        self._part, self._rows, self._tally = part, rows, tally
        self._labels: list[int] = []
        self.captions: list[tuple[str, ...]] = []  # of the records that are there
        self._copied = 0
        self._broken: list[list[Any]] = []
        self._left_out: list[list[Any]] = []

    def __iter__(self) -> Iterator[Row]:
        """Broken ones are handed on, too: they have a place in the order."""
        for one in self._rows:
            if one.record is None:
                self._broken.append([one.index, one.name, one.broken])
                self._tally.add(self._part, [one.broken])
            else:
                self._labels.append(one.record.label)
                self.captions.append(one.record.captions)
                self._copied += one.copied
            if one.left_out:
                self._left_out.append([one.index, one.name, one.left_out])
            yield one

    def seal(self, stored: Stored) -> Seal:
        """The seal of the part, whose file or files are there."""
        captioned = sum(map(bool, self.captions))
        counts = dict(captioned=captioned, copied=self._copied)
        lists = dict(labels=self._labels, broken=self._broken, left_out=self._left_out)
        return Seal(stored.records, stored.bytes, stored.sha256, **counts, **lists)
