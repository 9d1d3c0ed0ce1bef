"""Paths in a zip file, which answer as those of a folder on disk do; nothing is unpacked.

The list at the end of the file says where each member lies. A member is read there, by whoever
asks, with no handle in common: threads need not wait for each other, and a path can be copied.
"""

import collections
import fnmatch
import functools
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import contents, urls
from m3i_jax.data.sources.folder_names import is_system
from m3i_jax.data.sources.split_words import qualified, split_of

SUFFIX = ".zip"
ENCRYPTED = 1  # a bit of a member's flags
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
HEADER = struct.Struct("<4s22xHH")  # of a member: what it begins with, lengths of its names
LARGEST = 2**28  # bytes of a member that are unpacked
DEEPEST = 100  # folders of a name: each is a path of its own
BEGINNING = 2**16  # bytes that are unpacked where only the first ones are asked for


class Entry(NamedTuple):
    """Where a member is, and what it is once unpacked."""

    offset: int
    packed: int
    size: int
    crc: int
    method: int


class Status(NamedTuple):
    """What `Path.stat` says of a file, as far as it is asked here."""

    st_size: int
    st_mtime_ns: int
    st_dev: str
    st_ino: int
    st_mode: int


class Archive:
    """The members of a zip file by name, and the names in each of its folders."""

    def __init__(self, path: Path):
        """Reads the list of members.

        Raises:
          ConfigError: it is no zip, or damaged.
        """
        self.path, self.time = path, path.stat().st_mtime_ns
        self.files: dict[str, Entry] = {}
        self.folders: dict[str, dict[str, None]] = {"": {}}
        self.left_out: collections.Counter = collections.Counter()
        try:
            with zipfile.ZipFile(path) as file:
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
        descriptor = ordinary.opened(self.path, os.O_RDONLY)
        try:
            header = contents.pread(descriptor, entry.offset, HEADER.size)
            if len(header) < HEADER.size or not header.startswith(b"PK\x03\x04"):
                raise ValueError("there is no member where the list of the zip says")
            _, names, extra = HEADER.unpack(header)
            return contents.pread(descriptor, entry.offset + HEADER.size + names + extra, size)
        finally:
            os.close(descriptor)


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


@functools.total_ordering
class Inside:
    """A path in a zip file, with what of `pathlib.Path` a folder of images is read by."""

    __slots__ = ("_inner", "archive")

    def __init__(self, archive: Archive, inner: str):
        """inner: from the top of the archive on, "" = that itself."""
        self.archive, self._inner = archive, inner

    def __truediv__(self, other: object) -> "Inside":
        """A path below, of a text or of a path that leads on from here."""
        text = str(other)
        if "/" in text or text in ("", ".", ".."):
            text = PurePosixPath(text).as_posix()
            if text == ".":
                return self
        return Inside(self.archive, f"{self._inner}/{text}" if self._inner else text)

    def __str__(self) -> str:
        """As if the zip were a folder."""
        return f"{self.archive.path}/{self._inner}" if self._inner else str(self.archive.path)

    def __repr__(self) -> str:
        """For logs."""
        return f"Inside('{self}')"

    def __hash__(self) -> int:
        """Of the path in it."""
        return hash(self._inner)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same path of one file."""
        same = isinstance(other, Inside) and self._inner == other._inner
        return same and self.archive.path == other.archive.path

    def __lt__(self, other: "Inside") -> bool:
        """In the order of paths, which is that of their parts."""
        return self._inner.split("/") < other._inner.split("/")

    @property
    def name(self) -> str:
        """The last part."""
        return self._inner.rpartition("/")[2] or self.archive.path.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """What is behind the last full stop, with it."""
        return PurePosixPath(self.name).suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts, those of the zip's own path first."""
        return (*self.archive.path.parts, *filter(None, self._inner.split("/")))

    @property
    def parent(self) -> "Inside":
        """The folder around it; of the top itself."""
        return Inside(self.archive, self._inner.rpartition("/")[0])

    @property
    def parents(self) -> list["Inside"]:
        """All folders around it, the innermost first."""
        parts = self._inner.split("/") if self._inner else []
        return [Inside(self.archive, "/".join(parts[:n])) for n in reversed(range(len(parts)))]

    def with_name(self, name: str) -> "Inside":
        """Another in the same folder."""
        return self.parent / name

    def relative_to(self, other: "Inside") -> PurePosixPath:
        """The path from a folder around it on."""
        return PurePosixPath(self._inner).relative_to(other._inner)

    def as_posix(self) -> str:
        """As text, with slashes."""
        return str(self)

    def exists(self) -> bool:
        """Whether there is such a member or folder."""
        return self.is_dir() or self.is_file()

    def is_dir(self) -> bool:
        """Whether members lie below it."""
        return self._inner in self.archive.folders

    def is_file(self) -> bool:
        """Whether it is a member."""
        return self._inner in self.archive.files

    def is_symlink(self) -> bool:
        """Links are left out."""
        return False

    def resolve(self) -> "Inside":
        """Itself, as there are no links."""
        return self

    def iterdir(self) -> Iterator["Inside"]:
        """What is in a folder."""
        return (self / name for name in self.archive.folders.get(self._inner, ()))

    def glob(self, pattern: str) -> Iterator["Inside"]:
        """What is in a folder and has a name of this pattern."""
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def walk(self) -> Iterator[tuple["Inside", list[str], list[str]]]:
        """As `os.walk`: what is taken out of the folders is not walked."""
        names, before = self.archive.folders.get(self._inner, ()), f"{self._inner}/".lstrip("/")
        folders = [name for name in names if before + name in self.archive.folders]
        yield self, folders, [name for name in names if before + name in self.archive.files]
        for name in folders:
            yield from (self / name).walk()

    def stat(self) -> Status:
        """Size, time of the zip, and what tells the member from all others."""
        if not self.is_file():
            raise FileNotFoundError(2, os.strerror(2), str(self))
        entry = self.archive.files[self._inner]
        device = str(self.archive.path)
        return Status(entry.size, self.archive.time, device, entry.offset, stat.S_IFREG)

    def read_bytes(self) -> bytes:
        """All bytes of a member; see `Archive.read`."""
        return self.archive.read(self._inner)


def place(root: str) -> Path | Inside:
    """The folder of a data set: one on disk, a zip file, or a folder in one (`a.zip/b`).

    A zip whose only folder holds the splits stands for that folder.
    """
    path = Path(urls.local(root))
    for file in (path, *path.parents):
        if file.suffix.lower() == SUFFIX and file.is_file():
            inside = Inside(Archive(file), "/".join(path.relative_to(file).parts))
            return _unwrapped(inside)
    return path


def content(path: Path | Inside, *, size: int = -1) -> bytes:
    """The first `size` bytes of a file on disk or in a zip, or all, as `jsonfile.content`."""
    if isinstance(path, Inside):
        if not path.is_file():
            raise FileNotFoundError(2, os.strerror(2), str(path))
        return path.archive.read(path._inner, most=LARGEST if size < 0 else size)
    return jsonfile.content(path, size=size)


def walk(folder: Path | Inside, *, onerror) -> Iterator[tuple[Path | Inside, list[str], list[str]]]:
    """`os.walk`, of a folder on disk or in a zip, with paths for texts."""
    if isinstance(folder, Inside):
        yield from folder.walk()
    else:
        for parent, folders, files in os.walk(folder, onerror=onerror):
            yield Path(parent), folders, files


def _unwrapped(inside: Inside) -> Inside:
    """The folder itself, or the only one in it where that holds the splits."""
    there = [path for path in inside.iterdir() if not is_system(path.name)]
    if len(there) != 1 or not there[0].is_dir() or split_of(there[0].name):
        return inside
    inner = _unwrapped(there[0])
    names = [path.name for path in inner.iterdir()]
    return inner if any(split_of(name) or qualified(name) for name in names) else inside
