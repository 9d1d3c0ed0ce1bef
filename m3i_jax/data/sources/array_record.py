"""Shards of ArrayRecord files that `record` and `manifest` describe, read at random.

FOLDER/dataset.json     FOLDER/train-00000-of-00012.array_record     FOLDER/train.labels.npy
FOLDER/train.captions.jsonl
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import caption_lines, manifest, naming, record, urls
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, bounded, decoder
from m3i_jax.data.sources.manifest import Manifest
from m3i_jax.data.sources.packed import Encoded, Packed
from m3i_jax.data.sources.protocol import NoSplit, listed
from m3i_jax.data.sources.row_groups import Kept
from m3i_jax.ranges import Count
from m3i_jax.texts import Filled

HOW = "reading ArrayRecord files needs array_record: pip install 'm3i_jax[array_record]'"
OPEN = 256  # files that are open at once
AT_RANDOM = "readahead_buffer_size:0,max_parallelism:0"
BUFFER = 2**15  # bytes that are read at once; the library's own MiB is of no use at random


def array_record(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    captions: bool = True,
    annotations: bool = True,
    orientation: bool = False,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> Packed:
    """Images in ArrayRecord files, as `m3i prepare` writes them: checksummed, read at random.

    Needs array_record.

    Args:
      root: a folder with `dataset.json`, which says what is beside it.
      split: "train" or "test".
      classes: of the training split, which another split is labelled with by name; None takes
        those of `dataset.json`.
      captions: whether there are any to read.
      annotations: whether masks, boxes, depth and key points are read where there are some.
      orientation: turns photographs upright by their EXIF tag.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: files are missing, or are not what `dataset.json` says.
    """
    folder, split = Path(urls.local(root)), split or "train"
    said = manifest.read(folder)
    if split not in said.splits:
        raise NoSplit(f"'{root}' has no {split} split; there are {listed(sorted(said.splits))}")
    records = ArrayRecords(folder, said, split, captions=captions, annotations=annotations)
    reading = dict(decode=decoder(decode, orientation=orientation, max_pixels=max_pixels))
    opened = Packed(
        "array_record", records, classes, **reading, turned=orientation and decode is None
    )
    if annotations:
        opened.categories, opened.skeleton = said.categories, said.skeleton
        opened.object_names = said.object_names
    unknown = {**said.splits[split].unknown, **opened.account.unknown}
    opened.account = opened.account._replace(unknown=unknown)
    return opened


class ArrayRecords:
    """The records of a split; see `packed.Records`. A few files are kept open."""

    warnings: tuple[str, ...] = ()

    def __init__(
        self, folder: Path, said: Manifest, split: str, *, captions: bool, annotations: bool
    ):
        """Of a split that `dataset.json` has."""
        _library()
        self._folder, self._split, self._annotations = folder, said.splits[split], annotations
        manifest.require_sizes(folder, self._split)
        self.files = tuple(folder / shard.file for shard in self._split.shards)
        self._ends = np.cumsum([0, *(shard.records for shard in self._split.shards)])
        if not len(self):
            raise ConfigError(f"'{folder}' has no records in its {split} split")
        self.names = said.classes
        self.codes = manifest.labels(folder, self._split, said.classes)
        self.notes = tuple(filter(None, [naming.counts(dict(self._split.unknown))]))
        self._captions = captions and self._split.captioned > 0
        self._readers = Kept(self._opened, size=OPEN)

    def __len__(self) -> int:
        """How many records there are."""
        return int(self._ends[-1])

    def read(self, index: int) -> Encoded:
        """Reads a record and checks it against its sum and its label."""
        one = record.decode(self._bytes(index), annotations=self._annotations)
        if one.label != self.codes[index]:
            raise ValueError(f"its label is {one.label}, but that of the file {self.codes[index]}")
        bounded(len(one.image))
        caption = "\n".join(one.captions) if self._captions else ""
        return Encoded(one.image, caption, annotations=one.annotations)

    def captions(self) -> Iterator[str]:
        """Those of all records; of one that is damaged there is none.

        Where no file has them, all of each record is read, whose checksum is of all of it.
        """
        if not self._captions:
            return itertools.repeat("", len(self))
        if (beside := self._split.captions) is not None:
            return caption_lines.read(self._folder / beside.file, count=len(self))
        return (self._caption(index) for index in range(len(self)))

    def where(self, index: int) -> str:
        """The file, the number of the record in it, and what the record calls itself."""
        number, inside = self._place(index)
        try:
            name = record.decode(self._bytes(index), annotations=False).name
        except (ValueError, RuntimeError):
            name = ""
        return f"{self.files[number]}: record {inside}" + (f", {name}" if name else "")

    def digest(self) -> str:
        """Of what `dataset.json` says of the files, their own digests among it."""
        return f"{self._split} {self.names} {self._captions} {self._annotations}"

    def _place(self, index: int) -> tuple[int, int]:
        """The file of a record, and which of its records it is."""
        number = int(np.searchsorted(self._ends, index, side="right")) - 1
        return number, index - int(self._ends[number])

    def _bytes(self, index: int) -> bytes:
        number, inside = self._place(index)
        return self._readers[number].read([inside])[0]

    def _caption(self, index: int) -> str:
        try:
            return "\n".join(record.captions(self._bytes(index)))
        except (ValueError, RuntimeError):
            return ""

    def _opened(self, number: int) -> tuple[Any, int]:
        """A reader of a file, which counts as one."""
        reader = _library().ArrayRecordReader(
            str(self.files[number]), AT_RANDOM, file_reader_buffer_size=BUFFER
        )
        there, expected = reader.num_records(), self._split.shards[number].records
        if there != expected:
            raise ValueError(f"the file has {there} of {expected} records")
        return reader, 1


def _library() -> Any:
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise ConfigError(HOW) from error
    return array_record_module
