"""Paths in what is listed once, a zip file or a folder behind a URL, which answer as those of a
folder on disk do. They have no handle in common: threads need not wait for each other, and a path
can be copied.
"""

import collections
import fnmatch
import functools
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Protocol

LARGEST = 2**28  # bytes of a file that are read at once


class Status(NamedTuple):
    """What `Path.stat` says of a file, as far as it is asked here.

    tag: of its contents, as a store gives one; "" = none.
    """

    st_size: int
    st_mtime_ns: int
    st_dev: str
    st_ino: int
    st_mode: int = stat.S_IFREG
    tag: str = ""


class Container(Protocol):
    """What has the files.

    where: its path or URL.   files: by name, from its top on.   folders: the names in each, "" is
    the top.   left_out: how many names there are not, by reason.
    """

    where: str
    files: Mapping[str, Any]
    folders: Mapping[str, Mapping[str, None]]
    left_out: collections.Counter

    def status(self, name: str) -> Status:
        """Size, time, and what tells a file from all others."""

    def read(self, name: str, *, most: int) -> bytes:
        """The first `most` bytes of a file; what cannot be read raises."""


@functools.total_ordering
class Inside:
    """A path in a container, with what of `pathlib.Path` a folder of images is read by."""

    __slots__ = ("inner", "archive")

    def __init__(self, archive: Container, inner: str):
        """inner: from the top of the archive on, "" = that itself."""
        self.archive, self.inner = archive, inner

    def __truediv__(self, other: object) -> "Inside":
        """A path below, of a text or of a path that leads on from here."""
        text = str(other)
        if "/" in text or text in ("", ".", ".."):
            text = PurePosixPath(text).as_posix()
            if text == ".":
                return self
        return Inside(self.archive, f"{self.inner}/{text}" if self.inner else text)

    def __str__(self) -> str:
        """As if the container were a folder."""
        return f"{self.archive.where}/{self.inner}" if self.inner else self.archive.where

    def __repr__(self) -> str:
        """For logs."""
        return f"Inside('{self}')"

    def __hash__(self) -> int:
        """Of the path in it."""
        return hash(self.inner)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same path of one container."""
        same = isinstance(other, Inside) and self.inner == other.inner
        return same and self.archive.where == other.archive.where

    def __lt__(self, other: "Inside") -> bool:
        """In the order of paths, which is that of their parts."""
        return self.inner.split("/") < other.inner.split("/")

    @property
    def name(self) -> str:
        """The last part."""
        return str(self).rpartition("/")[2]

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
        """All parts, those of the container's own path first."""
        return (*PurePosixPath(self.archive.where).parts, *filter(None, self.inner.split("/")))

    @property
    def parent(self) -> "Inside":
        """The folder around it; of the top itself."""
        return Inside(self.archive, self.inner.rpartition("/")[0])

    @property
    def parents(self) -> list["Inside"]:
        """All folders around it, the innermost first."""
        parts = self.inner.split("/") if self.inner else []
        return [Inside(self.archive, "/".join(parts[:n])) for n in reversed(range(len(parts)))]

    def with_name(self, name: str) -> "Inside":
        """Another in the same folder."""
        return self.parent / name

    def relative_to(self, other: "Inside") -> PurePosixPath:
        """The path from a folder around it on."""
        return PurePosixPath(self.inner).relative_to(other.inner)

    def as_posix(self) -> str:
        """As text, with slashes."""
        return str(self)

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return self.is_dir() or self.is_file()

    def is_dir(self) -> bool:
        """Whether files lie below it."""
        return self.inner in self.archive.folders

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.inner in self.archive.files

    def is_symlink(self) -> bool:
        """Links are left out."""
        return False

    def resolve(self) -> "Inside":
        """Itself, as there are no links."""
        return self

    def iterdir(self) -> Iterator["Inside"]:
        """What is in a folder."""
        return (self / name for name in self.archive.folders.get(self.inner, ()))

    def glob(self, pattern: str) -> Iterator["Inside"]:
        """What is in a folder and has a name of this pattern."""
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def walk(self) -> Iterator[tuple["Inside", list[str], list[str]]]:
        """As `os.walk`: what is taken out of the folders is not walked."""
        names, before = self.archive.folders.get(self.inner, ()), f"{self.inner}/".lstrip("/")
        folders = [name for name in names if before + name in self.archive.folders]
        yield self, folders, [name for name in names if before + name in self.archive.files]
        for name in folders:
            yield from (self / name).walk()

    def stat(self) -> Status:
        """See `Container.status`."""
        if not self.is_file():
            raise FileNotFoundError(2, os.strerror(2), str(self))
        return self.archive.status(self.inner)

    def read_bytes(self, *, most: int = LARGEST) -> bytes:
        """The first `most` bytes of a file; see `Container.read`."""
        if not self.is_file():
            raise FileNotFoundError(2, os.strerror(2), str(self))
        return self.archive.read(self.inner, most=most)
