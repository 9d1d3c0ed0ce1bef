"""Tar files of WebDataset and img2dataset, read at random through an index that is made once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import (
    caption_files,
    contents,
    ilsvrc,
    naming,
    shards,
    tar_index,
    tar_members,
)
from m3i_jax.data.sources.contents import Read
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, bounded, decoder
from m3i_jax.data.sources.inside import Inside
from m3i_jax.data.sources.packed import Encoded, Packed, packed
from m3i_jax.data.sources.tar_index import Index
from m3i_jax.data.sources.tar_samples import TABLE
from m3i_jax.ranges import Count
from m3i_jax.texts import Filled

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")  # the others are refused
MOST_LISTED = 10**6  # images of a split whose classes are looked for in a list
NEAR = 2**14  # bytes between an image and its captions that are read with them
SHOWN = 6  # kinds of members that a sentence names


def tar_shards(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    captions: bool = True,
    names: Filled | None = None,
    orientation: bool = False,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> Packed:
    """Images in tar files: `KEY.jpg`, with its class in `KEY.cls`, captions in `KEY.txt`.

    As WebDataset and img2dataset write them; `KEY.json` may have a `label` and a `caption`, too.
    Members of one name but for what is behind its first full stop are a sample, in the order of
    the images. A tar in a tar is a class, and a test split without any takes them from a list
    beside it (`ilsvrc`), as ImageNet's own archives want it. The files themselves are never
    unpacked. Where samples lie is read once and kept.

    Args:
      root: a folder of tar files, or of folders of them for each split; or a pattern of them with
        {00000..00099}, {train,val}, * or ?; or a URL of these. What
        splits are called stands in the names.
      split: "train" or "test".
      classes: of the training split, which another split is labelled with by name; None looks
        for them there.
      captions: whether there are any to read: lines of `KEY.txt`, or `caption` in `KEY.json`.
      names: a file with the name of class n in its line n, from 0 on, for classes that are
        numbers; `classnames.txt`, `classes.txt` or `labels.txt` beside the files is one.
      orientation: turns photographs upright by their EXIF tag.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: files are missing, are no tars or compressed, or hold no image.
    """
    return packed(
        "tar_shards",
        lambda kind: shards.candidates(root, kind, SUFFIXES),
        split=split,
        classes=classes,
        read=lambda files: _listed(TarRecords(files, captions=captions, names=names), split),
        decode=decoder(decode, orientation=orientation, max_pixels=max_pixels),
        turned=orientation and decode is None,
    )


def _listed(records: "TarRecords", split: str | None) -> "TarRecords":
    """With the classes of a list beside the files, where it is a test split that has none."""
    if split == "test" and not records.names and isinstance(records.files[0], Path):
        records.take_labels(records.files[0].parent)
    return records


class TarRecords:
    """The samples of tar files; see `packed.Records`. Reading opens one file and keeps nothing."""

    def __init__(self, files: Sequence[Path], *, captions: bool, names: str | None):
        """Of these files, whose index is made where there is none."""
        self.files, self._captions = tuple(files), captions
        self._index: Index = tar_index.opened(files)
        if not len(self._index.records):
            said = filter(None, (f"'{files[0].parent}'", _left_out(self._index)))
            raise ConfigError(f"no images in the tar files of {'; '.join(said)}")
        called = naming.called(self._index.names, files[0].parent, names)
        self.names = called.names
        unlabelled = np.broadcast_to(np.int32(-1), len(self))
        self.codes = called.places[self._index.records["label"]] if called.names else unlabelled
        left_out = _left_out(self._index)
        self.notes = (called.note,) if called.note else ()
        broken = {*tar_members.BAD}.intersection(self._index.left_out)
        self.notes += (left_out,) if left_out and not broken else ()
        self.warnings = (left_out,) if broken else ()

    def take_labels(self, folder: Path) -> None:
        """Takes classes from a list in a folder, by the names of the images; none where there are
        no lists.

        Raises:
          ConfigError: as of `ilsvrc.find`.
        """
        if not ilsvrc.candidates(folder, folder, ()) or len(self) > MOST_LISTED:
            return
        images = [folder / member.name for member in self._members() if member and member.name]
        labels = ilsvrc.find(folder, images, root=folder) if len(images) == len(self) else None
        if labels is not None:
            self.names = tuple(sorted({name for name in labels.names if name}))
            number = {name: place for place, name in enumerate(self.names)}
            self.codes = np.array([number.get(name, -1) for name in labels.names], np.int32)
            self.notes += (f"classes are those of '{labels.path}'",)

    def _members(self) -> Iterator[tar_members.Member | None]:
        """Those of all images; each file is opened once."""
        for number, file in enumerate(self.files):
            size, records = file.stat().st_size, self._index.records
            with contents.reader(file) as read:
                for head in records["head"][records["shard"] == number]:
                    yield tar_members.at(read, int(head), size)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._index.records)

    def read(self, index: int) -> Encoded:
        """Reads a sample where it lies."""
        record = self._index.records[index]
        size = bounded(int(record["size"]))
        with contents.reader(self.files[record["shard"]]) as read:
            read = _at_once(read, record) if self._captions else read
            image = read(int(record["image"]), size)
            if len(image) < size:
                raise ValueError(f"the file ends after {len(image)} of its {size} bytes")
            return Encoded(image, *self._caption(record, read, index))

    def captions(self) -> Iterator[str]:
        """Those of all samples; each file is opened once."""
        records = self._index.records
        ends = np.searchsorted(records["shard"], np.arange(len(self.files) + 1))
        for file, first, last in zip(self.files, ends[:-1], ends[1:], strict=True):
            with contents.reader(file) as read:
                ahead = tar_members.FAR if isinstance(file, Inside) else tar_members.AHEAD
                read = tar_members.buffered(read, ahead=ahead)
                for index in range(first, last):
                    yield self._caption(records[index], read, index)[0]

    def where(self, index: int) -> str:
        """The file, and the name that the image has in it."""
        record = self._index.records[index]
        file, head = self.files[record["shard"]], int(record["head"])
        if isinstance(file, Inside):  # it may be named because nothing can be read there
            return f"{file}: byte {head}"
        try:
            read = lambda offset, size: contents.at(file, offset, size)  # noqa: E731
            member = tar_members.at(read, head, file.stat().st_size)
        except OSError:
            member = None
        return f"{file}: {member.name if member and member.name else f'byte {head}'}"

    def digest(self) -> str:
        """Of where all samples are, and of what classes they have."""
        return f"{self._index.digest} {self._captions} {self.names}"

    def _caption(self, record: np.void, read: Read, index: int) -> tuple[str, str]:
        """The captions of a sample, and what of them was left out."""
        if not self._captions or not record["kind"]:
            return "", ""
        table = bool(record["kind"] == TABLE)
        size = min(int(record["length"]), caption_files.most(table=table) + 1)
        data = read(int(record["text"]), size)
        caption, left_out = caption_files.parsed(data, table=table, what="")
        return caption, left_out.replace("''", f"'{self.where(index)}'") if left_out else ""


def _at_once(read: Read, record: np.void) -> Read:
    """Image and captions in one reading where they lie beside each other, as they mostly do."""
    image, size = int(record["image"]), int(record["size"])
    text, length = int(record["text"]), min(int(record["length"]), caption_files.MAX_JSON + 1)
    start, end = min(image, text), max(image + size, text + length)
    if not record["kind"] or end - start > size + length + NEAR:
        return read
    data = read(start, end - start)
    return lambda offset, size: data[offset - start : offset - start + size]


def _left_out(index: Index) -> str:
    """Such as "left out: 3 link (00000.tar: a.jpg), 2 '.xml' (1.tar: b.xml)"; "" of nothing."""
    kinds = sorted(index.left_out.items(), key=lambda kind: -kind[1][0])
    parts = [f"{times} {kind} ({first})" for kind, (times, first) in kinds[:SHOWN]]
    parts += [f"{len(kinds) - SHOWN} more kinds"] if len(kinds) > SHOWN else []
    return f"left out: {', '.join(parts)}" if parts else ""
