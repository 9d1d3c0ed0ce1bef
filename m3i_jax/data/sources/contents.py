"""What is in large files, on disk or behind a URL: parts of them, and digests that tell whether a
data set is still the one that a run was started with.
"""

import contextlib
import functools
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from m3i_jax import ordinary
from m3i_jax.data.sources.inside import Inside, Status

SEEN_BYTES = 256 * 2**20  # of files that are looked at as a whole
SEEN_BLOCKS = 512  # of larger ones
BLOCK = 2**16
FURTHEST = 2**63 - 1  # bytes that a file may have, as the system counts them
BUFFERED = 2**16  # bytes that are read at least of a stream behind a URL

Read = Callable[[int, int], bytes]  # (offset, size) -> as many bytes as there are


def named(files: Iterable[Path], *said: object) -> str:
    """A digest of the names and sizes of files, in order, and of what else is said of them."""
    digest = hashlib.sha256(repr(said).encode("utf-8", "surrogateescape"))
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def looked_at(files: Sequence[Path]) -> dict[str, str]:
    """Digests of the bytes of files and of when they were written, see `Source.contents`.

    All bytes where they are `SEEN_BYTES` at most, of more `SEEN_BLOCKS` blocks, evenly spread. For
    the bytes of a file behind a URL stands its tag, where the store has one.
    """
    stats = [file.stat() for file in files]
    times, digest = hashlib.sha256(), hashlib.sha256()
    for stat in stats:
        times.update(f"{stat.st_mtime_ns}\n".encode())
    if any(tags := [tag(stat) for stat in stats]):
        digest.update("\n".join(tags).encode())
        untagged = [n for n, one in enumerate(tags) if not one]
        files, stats = [files[n] for n in untagged], [stats[n] for n in untagged]
    ends = np.cumsum([stat.st_size for stat in stats], dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if total <= SEEN_BYTES:
        places = [p for end, stat in zip(ends, stats, strict=True)
                  for p in range(int(end) - stat.st_size, int(end), BLOCK)]  # fmt: skip
    else:
        places = np.linspace(0, total - BLOCK, SEEN_BLOCKS).astype(np.int64).tolist()
    for place in places:
        digest.update(_block(files, ends, place))
    return {"contents": digest.hexdigest()[:16], "times": times.hexdigest()[:16]}


def _block(files: Sequence[Path], ends: np.ndarray, place: int) -> bytes:
    """The bytes from `place` on, of all files one behind the other; of one file at most."""
    number = int(np.searchsorted(ends, place, side="right"))
    start = place - (int(ends[number - 1]) if number else 0)
    try:
        return at(files[number], start, BLOCK)
    except OSError:  # said where a record is read
        return b""


def tag(status: os.stat_result | Status) -> str:
    """What a store says of a file's contents; "" of one on disk."""
    return getattr(status, "tag", "")


def at(file: Path | Inside, offset: int, size: int) -> bytes:
    """The `size` bytes of an ordinary file from `offset` on, or as many as there are."""
    with reader(file) as read:
        return read(offset, size)


@contextlib.contextmanager
def reader(file: Path | Inside) -> Iterator[Read]:
    """Inside, parts of a file can be read, which is open so long; behind a URL each is a request.

    Raises:
      OSError: it cannot be opened.
    """
    if isinstance(file, Inside):
        yield functools.partial(file.archive.at, file.inner)
        return
    descriptor = ordinary.opened(file, os.O_RDONLY)
    try:
        yield functools.partial(pread, descriptor)
    finally:
        os.close(descriptor)


def stream(file: Path | Inside) -> BinaryIO:
    """A file for libraries that seek in it."""
    if isinstance(file, Inside):
        return io.BufferedReader(_Ranges(file), BUFFERED)
    return open(ordinary.opened(file, os.O_RDONLY), "rb")


class _Ranges(io.RawIOBase):
    """A file behind a URL as one that can be read and sought in."""

    def __init__(self, file: Inside):
        self._file, self._size, self._place = file, file.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(22, os.strerror(22), str(self._file))
        self._place = start + offset
        return self._place

    def readinto(self, buffer) -> int:
        data = at(self._file, self._place, len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def pread(descriptor: int, offset: int, size: int) -> bytes:
    """As `at`, of a file that is open; a read that gives less is gone on with."""
    if not 0 <= offset <= FURTHEST - size:  # as a damaged header says
        return b""
    parts, left = [], size
    while left and (part := os.pread(descriptor, left, offset + size - left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
