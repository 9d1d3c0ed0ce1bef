"""A source that survives broken records: it replaces them, counts them, lists them, or stops.

Dropping a record would shift the stream behind it, so every run, thread and host would go on with
other data. A substitute keeps every position: record i becomes the next readable one after it.
"""

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from m3i_jax.build import ConfigError, UserError
from m3i_jax.data.samples import Sample, Source


class TooManyUnreadable(UserError, RuntimeError):
    """More of the data is broken than was allowed; the message is a sentence for the user."""

    status = 65  # BSD's EX_DATAERR


def robust(
    source: Source,
    *,
    report: str | os.PathLike | None = None,
    max_share: float = 0.001,
    tries: int = 8,
) -> "Robust":
    """Wraps `source` so that unreadable records are replaced by their next readable neighbours.

    The share is relative to all records of the source, whichever have been touched, and at least
    one record is always forgiven: a folder of 20 images may have one broken file, ImageNet 1281.
    Only `max_share=0` forgives none.

    Args:
      source: any source whose records raise when they cannot be read.
      report: file to which each broken record is added as a JSON line with index, record and
        reason; once per record, also over several runs. Hosts append to the same file.
      max_share: share of the records that may be broken, 0..1.
      tries: how many neighbours are tried in a row.

    Raises:
      TooManyUnreadable: on reading, when more are broken or no neighbour is readable.
    """
    if not 0 <= max_share <= 1 or tries < 1:
        raise ConfigError(
            f"max_share is {max_share} and tries {tries}; expected a share from 0 to 1 and at "
            "least one try"
        )
    return Robust(source, report=report, max_share=max_share, tries=tries)


class Robust:
    """A source; see `robust`. Which record replaces which depends on nothing but the files."""

    def __init__(
        self,
        source: Source,
        *,
        report: str | os.PathLike | None,
        max_share: float,
        tries: int,
    ):
        """Reads which records an earlier run has already reported."""
        self.source, self.name, self.classes = source, source.name, source.classes
        self.evaluation_ratio = getattr(source, "evaluation_ratio", 0.875)
        self.allowed = max(1, int(max_share * len(source))) if max_share else 0
        self.unreadable: dict[int, str] = {}  # index -> reason, of this run
        self._tries, self._report = min(tries, len(source)), report and Path(report)
        self._listed = self._already_listed()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of records, broken ones included."""
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        """Record `index`, or the first readable one after it, wrapping round at the end."""
        for k in range(self._tries):
            neighbour = (index + k) % len(self.source)
            try:
                return self.source[neighbour]
            except MemoryError:  # says something about the machine, not about the record
                raise
            except Exception as error:
                self._count(neighbour, error)
                last = error
        raise TooManyUnreadable(
            f"{self._tries} records in a row cannot be read, from {self.where(index)} on; "
            f"the last one: {last}"
        ) from last

    def captions(self) -> Iterable[str]:
        """The captions of the wrapped source."""
        return self.source.captions()

    def fingerprint(self) -> str:
        """The fingerprint of the wrapped source."""
        return self.source.fingerprint()

    def where(self, index: int) -> str:
        """How the wrapped source names a record, or its number."""
        named = getattr(self.source, "where", None)
        return named(index) if named else f"record {index}"

    def _count(self, index: int, error: Exception) -> None:
        """Notes a broken record the first time it is met."""
        with self._lock:
            if index not in self.unreadable:
                self.unreadable[index] = f"{type(error).__name__}: {error}"
                self._write(index)
            broken = len(self.unreadable)
        if broken > self.allowed:
            listed = f"; they are listed in {self._report}" if self._report else ""
            raise TooManyUnreadable(
                f"{broken} of {len(self)} records of {self.name} cannot be read, more than the "
                f"{self.allowed} that max_share allows{listed}. The last one: {error}"
            ) from error

    def _write(self, index: int) -> None:
        """Appends one line to the report; a single write, so that hosts cannot interleave."""
        if self._report is None or index in self._listed:
            return
        row = {"index": index, "record": self.where(index), "reason": self.unreadable[index]}
        self._report.parent.mkdir(parents=True, exist_ok=True)
        with self._report.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def _already_listed(self) -> frozenset[int]:
        """Indices in an existing report; lines cut off by a kill are skipped."""
        if self._report is None or not self._report.is_file():
            return frozenset()
        listed = set()
        for line in self._report.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                listed.add(int(json.loads(line)["index"]))
            except (ValueError, KeyError, TypeError):
                continue
        return frozenset(listed)
