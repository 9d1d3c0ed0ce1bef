"""Encoded images that lie many in a file: what a container has to say of them, and the source."""

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import annotations, contents, gone, naming
from m3i_jax.data.sources.annotations import NONE, Annotations
from m3i_jax.data.sources.decoding import Decoder, unreadable
from m3i_jax.data.sources.folder_names import ORDER
from m3i_jax.data.sources.protocol import Account, Sample, listed
from m3i_jax.types import Array

T = TypeVar("T")


class Encoded(NamedTuple):
    """A record before its image is decoded; `left_out` as of a `Sample`."""

    image: bytes
    caption: str = ""
    left_out: str = ""
    annotations: Annotations = NONE


class Records(Protocol):
    """What is in the files of a split, by index. Reading is safe from several threads.

    files: that they are read from.   codes: (N,) numbers of `names`, -1 = none.
    names: of the classes, as the container has them; () where there are no labels.
    notes, warnings: sentences, see `Account`.
    """

    files: Sequence[Path]
    codes: Array
    names: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        """How many there are."""

    def read(self, index: int) -> Encoded:
        """One record; what cannot be read raises."""

    def captions(self) -> Iterator[str]:
        """The captions of all records in order."""

    def where(self, index: int) -> str:
        """How reports name a record."""

    def digest(self) -> str:
        """Changes with which records there are, as far as names and sizes tell."""


def packed(
    name: str,
    candidates: Callable[[str], Sequence[T]],
    *,
    split: str | None,
    classes: Sequence[str] | None,
    read: Callable[[T], Records],
    decode: Decoder,
    turned: bool = False,
) -> "Packed":
    """A split of a data set that comes in files of many records.

    Of several that may be the test split the first one with a label is taken.

    Args:
      name: of the kind of source.
      candidates: of "train" or "test", where that may lie, the best place first, as
        `shards.candidates` finds files; raises where there is none.
      split: "train" or "test"; None is "train".
      classes: of the training split, which labels are numbers of; None opens that for them.
      read: opens one of these places.
      decode: bytes -> (H, W, 3) uint8.
      turned: whether that turns images upright by their EXIF tag.
    """
    split = split or "train"
    if split not in ORDER:
        raise ConfigError(f"split is '{split}'{nearest(split, ORDER)}")
    if classes is None and split == "test":
        classes = read(candidates("train")[0]).names
    chosen = None
    for place in candidates(split):
        source = Packed(name, read(place), classes, decode=decode, turned=turned)
        if chosen is None or source.account.labelled and not chosen.account.labelled:
            chosen = source
        if chosen.account.labelled or chosen.account.unknown:
            break
    return chosen


class Packed:
    """A source of encoded images; see `packed`."""

    on_disk = True

    def __init__(
        self,
        name: str,
        records: Records,
        classes: Sequence[str] | None,
        *,
        decode: Decoder,
        turned: bool = False,
    ):
        """Of the records of a split; the rest as for `packed`."""
        self.name, self._records, self._decode, self._turned = name, records, decode, turned
        self._annotated = True  # an image of another size would not fit what is said of it
        self.labels, self.classes, unknown = naming.numbered(records.codes, records.names, classes)
        labelled = int((self.labels >= 0).sum()) if records.names else 0
        notes = (_note(self, labelled, unknown), *records.notes)
        self.account = Account(labelled, unknown, notes, records.warnings)

    def __len__(self) -> int:
        """Number of records."""
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:
        """Reads and decodes one record.

        Raises:
          ValueError: naming the record and what is wrong with it.
          Gone: the folder of the files is not there any more.
        """
        try:
            record = self._records.read(index)
            image = self._decode(record.image)
            of = dict(encoded=record.image, turned=self._turned)
            said = annotations.Annotations()
            if self._annotated:
                said = annotations.fitted(record.annotations, image, **of)
        except MemoryError:
            raise
        except Exception as error:  # whatever a reader or a decoder raises
            gone.require(self._records.files[0].parent)
            raise unreadable(self.where(index), error) from error
        label = int(self.labels[index])
        return Sample(image, label, record.caption, left_out=record.left_out, **said._asdict())

    def decoded_by(self, change: Callable[[Decoder], Decoder]) -> "Packed":
        """The same with another decoder, made of its own, and without what is said in pixels."""
        twin = copy.copy(self)
        twin._decode, twin._annotated = change(self._decode), False
        return twin

    def encoded(self, index: int) -> bytes:
        """The bytes of one image."""
        return self._records.read(index).image

    def captions(self) -> Iterator[str]:
        """All captions in order; no image is decoded."""
        return self._records.captions()

    def fingerprint(self) -> str:
        """Digest of which records there are, and of the names and sizes of the files."""
        return contents.named(self._records.files, self._records.digest(), self.name)

    def contents(self) -> dict[str, str]:
        """Digests of the bytes of the files and of their times."""
        return contents.looked_at(self._records.files)

    def where(self, index: int) -> str:
        """The file, and the record in it."""
        return self._records.where(index)


def _note(source: Packed, labelled: int, unknown: dict[str, int]) -> str:
    """One sentence: how many records of how many files, and of which classes."""
    files = source._records.files
    said = f"{len(source)} records in {len(files)} file{'s' * (len(files) != 1)}"
    if not labelled and not unknown:
        return f"{said} of '{files[0].parent}', none of them labelled"
    counts = np.bincount(source.labels[source.labels >= 0], minlength=len(source.classes))
    absent = [name for name, count in zip(source.classes, counts, strict=True) if not count]
    parts = [f"{said} of '{files[0].parent}', {labelled} of them labelled"]
    parts += [f"none of {listed(absent)}"] if absent else []
    parts += [naming.counts(unknown)] if unknown else []
    return "; ".join(parts)
