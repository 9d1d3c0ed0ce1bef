"""Digests of large files: whether a data set is still the one that a run was started with."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from m3i_jax import ordinary

SEEN_BYTES = 256 * 2**20  # of files that are looked at as a whole
SEEN_BLOCKS = 512  # of larger ones
BLOCK = 2**16
FURTHEST = 2**63 - 1  # bytes that a file may have, as the system counts them


def named(files: Iterable[Path], *said: object) -> str:
    """A digest of the names and sizes of files, in order, and of what else is said of them."""
    digest = hashlib.sha256(repr(said).encode("utf-8", "surrogateescape"))
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def looked_at(files: Sequence[Path]) -> dict[str, str]:
    """Digests of the bytes of files and of when they were written, see `Source.contents`.

    All bytes where they are `SEEN_BYTES` at most, of more `SEEN_BLOCKS` blocks, evenly spread.
    """
    stats = [file.stat() for file in files]
    times, digest = hashlib.sha256(), hashlib.sha256()
    for stat in stats:
        times.update(f"{stat.st_mtime_ns}\n".encode())
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


def at(file: Path, offset: int, size: int) -> bytes:
    """The `size` bytes of an ordinary file from `offset` on, or as many as there are."""
    descriptor = ordinary.opened(file, os.O_RDONLY)
    try:
        return pread(descriptor, offset, size)
    finally:
        os.close(descriptor)


def pread(descriptor: int, offset: int, size: int) -> bytes:
    """As `at`, of a file that is open; a read that gives less is gone on with."""
    if not 0 <= offset <= FURTHEST - size:  # as a damaged header says
        return b""
    parts, left = [], size
    while left and (part := os.pread(descriptor, left, offset + size - left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
