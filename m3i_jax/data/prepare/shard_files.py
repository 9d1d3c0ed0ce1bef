"""Prepared copies in shards: ArrayRecord files of records, each written whole or not at all."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.data.prepare.parts import Part
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.sources import manifest, record
from m3i_jax.data.sources.manifest import Stored

HOW = "writing ArrayRecord files needs array_record: pip install 'm3i_jax[array_record]'"
# A record is read at random by itself, and what is a JPEG does not get smaller.
OPTIONS = "group_size:1,uncompressed"


def write(folder: Path, part: Part, rows: Iterable[Row]) -> Stored:
    """Writes the records of a part into its shard.

    Raises:
      OSError: they cannot be written, for one because the disk is full.
    """
    place = folder / manifest.shard(part.split, part.number, part.count)
    draft = place.with_name(f".{place.name}.partial")
    try:
        count = _written(draft, rows)
        descriptor = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(draft, place)
    finally:
        draft.unlink(missing_ok=True)
    return manifest.stored(place, count)


def read(folder: Path, part: Part) -> Iterator[bytes]:
    """The bytes of all records of a part, one after the other."""
    place = folder / manifest.shard(part.split, part.number, part.count)
    reader = installed().ArrayRecordReader(str(place))
    try:
        for number in range(reader.num_records()):
            yield reader.read([number])[0]
    finally:
        reader.close()


def installed() -> Any:
    """The library of ArrayRecord files.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise ConfigError(HOW) from error
    return array_record_module


def _written(draft: Path, rows: Iterable[Row]) -> int:
    """Writes records into a file, which holds all of them then; how many they are."""
    count = 0
    with _said_of(draft):
        writer = installed().ArrayRecordWriter(str(draft), OPTIONS)
    try:
        for row in rows:
            if row.record is not None:
                data = record.encode(row.record)
                with _said_of(draft):
                    writer.write(data)
                count += 1
    finally:
        with _said_of(draft):
            writer.close()
    with _said_of(draft):
        reader = installed().ArrayRecordReader(str(draft))
        there = reader.num_records()
        reader.close()
    if there != count:
        raise OSError(errno.EIO, f"it has {there} of {count} records", str(draft))
    return count


@contextlib.contextmanager
def _said_of(draft: Path) -> Iterator[None]:
    """Inside, what the library says of a disk, in its own words, is an OSError."""
    try:
        yield
    except RuntimeError as error:
        full = not os.statvfs(draft.parent).f_bavail
        why = os.strerror(errno.ENOSPC) if full else str(error).partition("\n")[0]
        raise OSError(errno.ENOSPC if full else errno.EIO, why, str(draft)) from error
