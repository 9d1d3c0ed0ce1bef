"""A prepared copy held against its source: every record is made again and compared."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax import jsonfile
from m3i_jax.build import UserError
from m3i_jax.data.prepare import copy, folders, shard_files, tar_files
from m3i_jax.data.prepare.copy import Tick
from m3i_jax.data.prepare.parts import Part
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.prepare.work import FOLDER, TAR, Work
from m3i_jax.data.sources import manifest, record
from m3i_jax.data.sources.decoding import decode_image
from m3i_jax.data.sources.protocol import Source

SHOWN = 3


class Differs(UserError, RuntimeError):
    """A copy is not what its source gives; the message names the first records."""

    status = 74  # BSD's EX_IOERR


def verify(work: Work, *, threads: int, tick: Tick = lambda done: None) -> int:
    """Reads all of a copy, and returns how many records it has.

    Compared are the digests of the files, the bytes of each record with those that its source gives
    now, and the pixels of images whose bytes were copied with those that the source shows.

    Raises:
      Differs: something is missing or other than it was.
    """
    wrong, count, done = list(_digests(work)), 0, 0

    def make(source: Source, index: int) -> tuple[Row, bool]:
        row = work.row(source, index)
        return row, not row.copied or _shown_alike(source, row)

    parts = work.parts()
    with copy.in_order(make, parts, threads=threads) as rows:
        for part in parts:
            written = iter(()) if work.settings.format == FOLDER else _stored(work, part)
            for place in range(part.first, part.first + len(part.indices)):
                tick(done)
                done, (row, alike) = done + 1, next(rows)
                count += row.record is not None
                wrong += _differs(work, part, place, row, written)
                wrong += [] if alike else [f"'{row.name}' has other pixels than its source"]
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise Differs(f"'{work.folder}' is not what was written: {'; '.join(wrong[:SHOWN])}{more}")
    return count


def _shown_alike(source: Source, row: Row) -> bool:
    """Whether copied bytes are the pixels of the source."""
    return np.array_equal(decode_image(row.record.image), source[row.index].image)


def _stored(work: Work, part: Part) -> Iterator[bytes]:
    """The records of a shard, as far as it can be read: one that is missing is b""."""
    try:
        read = tar_files.read if work.settings.format == TAR else shard_files.read
        yield from read(work.folder, part)
    except (RuntimeError, ValueError, OSError, tarfile.TarError):
        return


def _differs(
    work: Work, part: Part, place: int, row: Row, written: Iterator[bytes]
) -> Iterator[str]:
    """What is wrong with a record that can be read."""
    if work.settings.format == FOLDER:
        for name, data in folders.files(part, place, row):
            if _content(work.folder / name) != data:
                yield f"'{name}' is not what '{row.name}' gives"
    elif row.record is not None and next(written, b"") != _expected(work, place, row):
        yield f"a record of {part.name} is not what '{row.name}' gives"


def _expected(work: Work, place: int, row: Row) -> bytes:
    """What a shard has of a record."""
    if work.settings.format == TAR:
        return tar_files.joined(tar_files.members(place, row))
    return record.encode(row.record)


def _digests(work: Work) -> Iterator[str]:
    """Files whose digests are not what `dataset.json` says."""
    said: Any = jsonfile.read(work.folder / manifest.FILE)["splits"]
    for split, own in said.items():
        if work.settings.format == FOLDER:
            continue  # whose files are compared one by one
        tars = work.settings.format == TAR
        beside = [] if tars else filter(None, [own.get("labels"), own.get("captions")])
        for one in own if tars else (*own["shards"], *beside):
            place = work.folder / one["file"]
            if not place.is_file() or manifest.stored(place, 0).sha256 != one["sha256"]:
                yield f"{one['file']} of the {split} split has another digest"


def _content(place: Path) -> bytes:
    try:
        return jsonfile.content(place)
    except (OSError, ValueError):
        return b""
