"""Prepared copies in tar files, as WebDataset has them: each written whole or not at all.

000000012.jpg      000000012.cls, the number of its class in classes.txt      000000012.txt
"""

import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from m3i_jax import ordinary
from m3i_jax.build import ConfigError
from m3i_jax.data.prepare import folders
from m3i_jax.data.prepare.parts import Part
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.sources import manifest
from m3i_jax.data.sources.manifest import Stored
from m3i_jax.data.sources.protocol import listed

SUFFIX, CLASSES = ".tar", "classes.txt"


def check(classes: Sequence[str]) -> None:
    """Refuses classes that no line of a text can name.

    Raises:
      ConfigError: naming some of them.
    """
    bad = [
        name for name in classes if not name or name != name.strip() or len(name.splitlines()) > 1
    ]
    if bad:
        raise ConfigError(f"no line can name {listed(bad)}; --format=array_record takes any class")


def write(folder: Path, part: Part, rows: Iterable[Row]) -> Stored:
    """Writes the records of a part into its file.

    Raises:
      OSError: they cannot be written, for one because the disk is full.
    """
    place = folder / f"{part.name}{SUFFIX}"
    draft = place.with_name(f".{place.name}.partial")
    count = 0
    try:
        with open(ordinary.opened(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as file:
                for number, row in enumerate(rows, part.first):
                    count += row.record is not None
                    for name, data in members(number, row):
                        member = tarfile.TarInfo(name)  # of nobody, and of no time
                        member.size = len(data)
                        file.addfile(member, io.BytesIO(data))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, place)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(place)) from error
    finally:
        draft.unlink(missing_ok=True)
    return manifest.stored(place, count)


def name_classes(folder: Path, classes: Sequence[str]) -> None:
    """Writes which class has which number, for what reads the files."""
    text = "".join(f"{name}\n" for name in classes)
    ordinary.written(folder / CLASSES, text.encode(), sync=True)


def members(place: int, row: Row) -> list[tuple[str, bytes]]:
    """(name, bytes) of the members of a record, the image first; [] of a broken one.

    place: of the record in the order of the split, which is its name.
    """
    if row.record is None:
        return []
    record, stem = row.record, f"{place:09d}"
    found = [(stem + folders.suffix(record.image), record.image)]
    found += [(f"{stem}.cls", str(record.label).encode())] * (record.label >= 0)
    texts = "".join(f"{text}\n" for text in record.captions)
    return found + [(f"{stem}.txt", texts.encode())] * bool(texts)


def joined(members: Iterable[tuple[str, bytes]]) -> bytes:
    """All of a record as one text, to compare it by."""
    return b"".join(f"{name}\0{len(data)}\0".encode() + data for name, data in members)


def read(folder: Path, part: Part) -> Iterator[bytes]:
    """All records of a part, `joined`, one after the other."""
    stem, of = "", []
    with tarfile.open(folder / f"{part.name}{SUFFIX}") as file:
        for member in file:
            own = member.name.partition(".")[0]
            if of and own != stem:
                yield joined(of)
                of = []
            stem = own
            of.append((member.name, file.extractfile(member).read()))
    if of:
        yield joined(of)
