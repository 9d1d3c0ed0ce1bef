"""A source that survives broken records: it replaces them, counts them, lists them, or stops.

A record that can be read but for a part of it (a caption in another encoding) is none of these: it
stays, and what was left out of it is listed in the same report.

Dropping a record would shift the stream behind it, so every run, thread and host would go on with
other data. A substitute keeps every position: record i becomes the next readable one after it.
"""

import copy
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError, UserError
from m3i_jax.data import cores
from m3i_jax.data.ahead import ahead
from m3i_jax.data.sources import frames, protocol
from m3i_jax.data.sources.decoding import Decoder
from m3i_jax.data.sources.gone import Gone
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.sources.subset import places

LOG = logging.getLogger(__name__)
SURVEYED = 2000  # records of a small source, all of which are read before a run
PATIENCE = 10.0  # seconds for those of a larger one
TELL = 5.0  # seconds between two words on how far that is
SHOWN = 3  # broken records that are named in full


class TooManyUnreadable(UserError, RuntimeError):
    """More of the data is broken than was allowed; the message is a sentence for the user."""

    status = 65  # BSD's EX_DATAERR


# Shares that may be broken: of a data set that somebody has prepared, and of a folder that is named
# on a command line, where whatever is no image is left out, and named.
PREPARED, NAMED = 0.001, 0.5
# From this share on broken records may lie beside each other, as where a copy was cut off.
TRIES, MANY = 8, 0.05


def robust(
    source: Source,
    *,
    report: str | os.PathLike | None = None,
    max_share: float = PREPARED,
    tries: int | None = None,
    split: str = "train",
) -> "Robust":
    """Wraps `source` so that unreadable records are replaced by their next readable neighbours.

    The share is relative to all records of the source, whichever have been touched, and at least
    one record is always forgiven: a folder of 20 images may have one broken file, ImageNet 1281.
    Only `max_share=0` forgives none.

    Args:
      source: any source whose records raise when they cannot be read.
      report: file to which each broken record is added as a JSON line with split, index, record
        and reason; once per record, also over several runs. Hosts append to the same file.
      max_share: share of the records that may be broken, 0..1; config.unreadable of a run.
      tries: how many neighbours are tried in a row; None = 8, or as many as may be broken where
        `max_share` is 5 % or above.
      split: what the source is, for reports.

    Raises:
      TooManyUnreadable: on reading, when more are broken or no neighbour is readable.
    """
    if not 0 <= max_share <= 1 or (tries is not None and tries < 1):
        raise ConfigError(
            f"max_share is {max_share} and tries {tries}; expected a share from 0 to 1 and at "
            "least one try"
        )
    return Robust(source, report=report, max_share=max_share, tries=tries, split=split)


class Robust:
    """A source; see `robust`. Which record replaces which depends on nothing but the files.

    What else the wrapped source has, this one has, too.
    """

    def __init__(
        self,
        source: Source,
        *,
        report: str | os.PathLike | None,
        max_share: float,
        tries: int | None,
        split: str,
    ):
        """Reads which records an earlier run has already reported."""
        self.source, self.name, self.classes = source, source.name, source.classes
        self.allowed = max(1, _whole(max_share * len(source))) if max_share else 0
        self.unreadable: dict[int, str] = {}  # index -> reason, of this run
        self.partial: dict[int, str] = {}  # index -> what of a readable record was left out
        many = max(TRIES, self.allowed + 1) if max_share >= MANY else TRIES
        self._share, self._tries = max_share, many if tries is None else tries
        self._split, self._report = split, report and Path(report)
        self._listed = self._already_listed()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        """Optional members of the wrapped source."""
        if name == "source":  # not there yet while a copy is being made
            raise AttributeError(name)
        return getattr(self.source, name)

    def __len__(self) -> int:
        """Number of records, broken ones included."""
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        """Record `index`, or the first readable one after it, from the end on at the start.

        In a mixture it is one of the same component.
        """
        beside = protocol.component_of(self.source, index)
        tries = min(self._tries, len(beside))
        for k in range(tries):
            neighbour = beside[(index - beside.start + k) % len(beside)]
            if (sample := self.read(neighbour)) is not None:
                return sample
        raise TooManyUnreadable(
            f"{tries} records in a row cannot be read, from {self.where(index)} on; "
            f"the last one: {self.unreadable[neighbour]}"
        )

    def read(self, index: int) -> Sample | None:
        """Record `index` and no other; None where it cannot be read: a number about a data set
        must count no substitute."""
        sample, error = self._try(index)
        if error:
            self._hold_limit(error)
        return sample

    def decoded_by(self, change: Callable[[Decoder], Decoder]) -> "Robust":
        """The same of the source with another decoder; both count the same records."""
        twin = copy.copy(self)
        twin.source = protocol.decoded_by(self.source, change)
        return twin

    def survey(self, *, most: int = SURVEYED, seconds: float = PATIENCE, threads: int = 0) -> None:
        """Reads records before a run does, so that all broken ones are named at once.

        All of them where there are `most` at most; otherwise so many, evenly spread, for `seconds`
        at most. Says how far it is where that takes longer than a second, and in the end what was
        left out of readable ones.

        Raises:
          TooManyUnreadable: more are broken than allowed.
        """
        total, start, read = len(self), time.monotonic(), 0
        chosen = places(total, most)
        warned, error, several = start + 1, None, []
        with ThreadPoolExecutor(threads or cores.usable(), thread_name_prefix="m3i-survey") as pool:
            for done, (index, met) in enumerate(ahead(pool, self._seen, chosen.tolist()), 1):
                error, now, read = met or error, time.monotonic(), done
                several += [] if index is None else [index]
                if now > warned:
                    LOG.info("reading the data once: %d of %d records", done, len(chosen))
                    warned = now + TELL
                if total > most and now > start + seconds:
                    break
        if error:
            self._hold_limit(error)
        self._tell_left_out(read, several)

    def _seen(self, index: int) -> tuple[int | None, Exception | None]:
        """(itself where it has frames that nobody reads, what is wrong with it) of a record."""
        sample, error = self._try(index)
        more = sample is not None and hasattr(self.source, "encoded")
        more = more and frames.may(self.where(index)) and frames.several(self.source.encoded(index))
        return index if more else None, error

    def _tell_left_out(self, read: int, several: list[int]) -> None:
        """Says of how many of the records that were read not all is used."""
        if self.partial:
            listed = f", which {self._report} lists" if self._report else ""
            counts = (self._split, len(self.partial), read, listed)
            LOG.warning("%s split: of %d of %d records a part was left out%s", *counts)
        if several:
            counts = (self._split, len(several), read, self.where(several[0]))
            LOG.info("%s split: more than one frame or page in %d of %d files, such as '%s'; "
                     "the first is used", *counts)  # fmt: skip

    def captions(self) -> Iterable[str]:
        """The captions of the wrapped source."""
        return self.source.captions()

    def fingerprint(self) -> str:
        """The fingerprint of the wrapped source."""
        return self.source.fingerprint()

    def where(self, index: int) -> str:
        """How the wrapped source names a record, or its number."""
        return protocol.where(self.source, index)

    def _try(self, index: int) -> tuple[Sample | None, Exception | None]:
        """Record `index`, or what is wrong with it, which is noted the first time."""
        try:
            sample = self.source[index]
            if sample.left_out:
                self._note(self.partial, index, sample.left_out)
            return sample, None
        except (MemoryError, Gone):  # of the machine or of all records, and not of this one
            raise
        except Exception as error:  # noqa: BLE001, whatever a decoder raises
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            self._note(self.unreadable, index, f"{kind}{error}")
            return None, error

    def _note(self, noted: dict[int, str], index: int, reason: str) -> None:
        """Keeps what is wrong with a record, and tells it, the first time."""
        with self._lock:
            if index not in noted:
                noted[index] = reason
                self._write(index, reason, shown=len(noted) <= SHOWN)

    def _hold_limit(self, error: Exception) -> None:
        """Raises where more records are broken than may be, naming the first of them."""
        with self._lock:
            reasons = [self.unreadable[index] for index in sorted(self.unreadable)]
        if len(reasons) <= self.allowed:
            return
        enough = math.ceil(1e4 * len(reasons) / len(self)) / 1e4
        listed = f"; all are listed in {self._report}" if self._report else ""
        raise TooManyUnreadable(
            f"{len(reasons)} of {len(self)} records of the {self._split} split ({self.name}) "
            f"cannot be read, more than the {self.allowed} that config.unreadable="
            f"{self._share:g} allows{listed}. Mend or remove them, or allow "
            f"config.unreadable={enough:g}. The first: {'; '.join(reasons[:SHOWN])}"
        ) from error

    def _write(self, index: int, reason: str, *, shown: bool) -> None:
        """Appends one line to the report; a single write, so that hosts cannot interleave."""
        if shown:
            LOG.warning("%s split: %s", self._split, reason)
        if self._report is None or (self._split, index) in self._listed:
            return
        row = {"split": self._split, "index": index, "record": self.where(index)}
        line = json.dumps(row | {"reason": reason}) + "\n"
        try:
            self._report.parent.mkdir(parents=True, exist_ok=True)
            ordinary.written(self._report, line.encode(), append=True)
        except OSError as error:  # what can be trained on can be trained on without a list
            LOG.warning("cannot add to %s: %s", self._report, error.strerror)

    def _already_listed(self) -> frozenset[tuple[str, int]]:
        """Splits and indices in an existing report; lines cut off by a kill are skipped."""
        if self._report is None or not self._report.is_file():
            return frozenset()
        listed = set()
        for line in self._report.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = jsonfile.parse(line)
                listed.add((row.get("split", "train"), int(row["index"])))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        return frozenset(listed)


def _whole(number: float) -> int:
    """The whole part of a product that rounding may have left just below a whole number."""
    return int(number + 1e-9)
