"""The members of a zip file, read where they lie; nothing is unpacked. `inside` has their paths.

The list at the end of the file says where each member lies. A member is read there, by whoever
asks, with no handle in common: threads need not wait for each other, and a path can be copied.
"""

import collections
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import contents
from m3i_jax.data.sources.inside import LARGEST, Inside, Status

SUFFIX = ".zip"
ENCRYPTED = 1  # a bit of a member's flags
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
HEADER = struct.Struct("<4s22xHH")  # of a member: what it begins with, lengths of its names
DEEPEST = 100  # folders of a name: each is a path of its own
BEGINNING = 2**16  # bytes that are unpacked where only the first ones are asked for


class Entry(NamedTuple):
    """Where a member is, and what it is once unpacked."""

    offset: int
    packed: int
    size: int
    crc: int
    method: int


class Archive:
    """The members of a zip file by name, and the names in each of its folders."""

    def __init__(self, path: Path | Inside):
        """Reads the list of members of a file on disk or behind a URL.

        Raises:
          ConfigError: it is no zip, or damaged.
        """
        self.path, self.where, self._own = path, str(path), path.stat()
        self.files: dict[str, Entry] = {}
        self.folders: dict[str, dict[str, None]] = {"": {}}
        self.left_out: collections.Counter = collections.Counter()
        try:
            with contents.stream(path) as stream, zipfile.ZipFile(stream) as file:
                for info in file.infolist():
                    self._add(info)
            self._over = _overlapping(self.files.values())
        except Exception as error:  # damaged lists raise what they like
            why = str(error) or type(error).__name__
            raise ConfigError(f"'{path}' is no sound zip file: {why}") from error

    def _add(self, info: zipfile.ZipInfo) -> None:
        """Takes a member, or counts why not."""
        slashed = info.filename if "/" in info.filename else info.filename.replace("\\", "/")
        name = slashed.rstrip("/")
        parts = name.split("/")
        if kind := self._wrong(info, name, parts):
            self.left_out[kind] += 1
            return
        for depth in range(len(parts)):
            folder = "/".join(parts[:depth])
            self.folders.setdefault(folder, {})[parts[depth]] = None
        if info.is_dir() or slashed.endswith("/"):
            self.folders.setdefault(name, {})
        else:
            self.files[name] = Entry(
                info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type
            )

    def _wrong(self, info: zipfile.ZipInfo, name: str, parts: list[str]) -> str:
        """Why a member is left out; "" of one that is not."""
        if any(part in ("", ".", "..") for part in parts):
            return "name that leads elsewhere"
        if len(parts) > DEEPEST:
            return "name of too many folders"
        if stat.S_ISLNK(info.external_attr >> 16):
            return "link"
        if info.flag_bits & ENCRYPTED:
            return "encrypted file"
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        again = name in self.files or name in self.folders and not info.filename.endswith("/")
        if again or any(folder in self.files for folder in folders):
            return "name that there is twice"
        return ""

    def status(self, name: str) -> Status:
        """Size of a member, time and tag of the zip, and what tells it from all others."""
        entry, tag = self.files[name], contents.tag(self._own)
        return Status(entry.size, self._own.st_mtime_ns, self.where, entry.offset, tag=tag)

    def read(self, name: str, *, most: int = LARGEST) -> bytes:
        """The first `most` bytes of a member.

        Raises:
          ValueError: it is damaged, too large, or packed by a method other than deflate.
        """
        entry, whole = self.files[name], most >= self.files[name].size
        if entry.method not in METHODS:
            raise ValueError(f"it is packed by method {entry.method}; only deflate is read")
        if entry.offset in self._over:
            raise ValueError("it lies over another member of the zip")
        if min(entry.size, most) >= LARGEST:
            raise ValueError(f"{entry.size} bytes, more than {LARGEST}")
        size = min(entry.packed, 2 * LARGEST if whole else most + BEGINNING)
        data = self._packed(entry, size)
        if entry.method == zipfile.ZIP_DEFLATED:
            data = _inflated(data, most=min(entry.size + 1, most))
        if whole and (len(data) != entry.size or zlib.crc32(data) != entry.crc):
            raise ValueError("it is damaged: its bytes are not those that the zip has a sum of")
        return data[:most]

    def _packed(self, entry: Entry, size: int) -> bytes:
        """The first bytes of a member as they lie there, behind its header."""
        with contents.reader(self.path) as read:
            header = read(entry.offset, HEADER.size)
            if len(header) < HEADER.size or not header.startswith(b"PK\x03\x04"):
                raise ValueError("there is no member where the list of the zip says")
            _, names, extra = HEADER.unpack(header)
            return read(entry.offset + HEADER.size + names + extra, size)


def _overlapping(entries: Iterable[Entry]) -> frozenset[int]:
    """Where members begin that lie over one in front of them, as those of a bomb do: its few bytes
    are to become very many, once for each of a long list of names.

    Of several at one place all are such. Fifield 2019, https://www.bamsoftware.com/hacks/zipbomb.
    """
    over, end, before = set(), 0, -1
    for entry in sorted(entries):
        if entry.offset < end or entry.offset == before:
            over.add(entry.offset)
        before, end = entry.offset, max(end, entry.offset + HEADER.size + entry.packed)
    return frozenset(over)


def _inflated(data: bytes, *, most: int) -> bytes:
    """What bytes become, as far as `most`: small ones may become very many."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, max(most, 1))
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from error
