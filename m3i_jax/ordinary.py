"""Files by name, opened only where they are ordinary: a pipe or a device is never waited for."""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

WHY = "it is no ordinary file"


def opened(path: str | Path, flags: int, *, mode: int = 0o644) -> int:
    """A descriptor of a file, which is made where `flags` say so.

    flags: as for `os.open`.  mode: of a file that is made.

    Raises:
      OSError: it cannot be opened, or something else has its name: a pipe, a socket, a device.
    """
    try:
        _check(os.stat(path), path)  # opening some devices does something
    except FileNotFoundError:
        pass  # to be made, or to be missed by what opens it
    # A pipe that has come since is not waited for, either: it is opened at once, or not at all.
    descriptor = os.open(path, flags | os.O_NONBLOCK, mode)
    try:
        _check(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def written(path: str | Path, data: bytes, *, append: bool = False, sync: bool = False) -> None:
    """Writes a file as a whole, or adds to it in one write; as `opened` does, it waits for nobody.

    Who is interrupted leaves what was there before, or all of the new.

    sync: whether the file is made durable.

    Raises:
      OSError: it cannot be opened or written; which file it is, a full disk does not say by itself.
    """
    try:
        if append:
            return _put(path, data, os.O_APPEND, sync=sync)
        with replacing(path) as draft:
            _put(draft, data, os.O_TRUNC, sync=sync)
    except OSError as error:
        if error.errno is not None:
            error.filename = os.fspath(path)
        raise


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A name beside a file; what is written there takes its place at the end, with its mode.

    Raises:
      OSError: something else has the name of the file: a pipe, a socket, a device, a folder.
    """
    whole = Path(os.path.realpath(path))
    draft = whole.with_name(whole.name + ".partial")
    try:
        mode = _check(os.stat(whole), path)
    except FileNotFoundError:
        mode = None
    try:
        yield draft
        if mode is not None:
            os.chmod(draft, mode)
        os.replace(draft, whole)
    except BaseException:
        if draft.is_file():
            draft.unlink()
        raise


def _put(path: str | Path, data: bytes, flags: int, *, sync: bool) -> None:
    with open(opened(path, os.O_WRONLY | os.O_CREAT | flags), "wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def written_by(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """Writes what `write` puts into a buffer, as `written` does; returns the path."""
    content = io.BytesIO()
    write(content)
    written(path, content.getvalue())
    return Path(path)


def _check(status: os.stat_result, path: str | Path) -> int:
    """The mode of an ordinary file."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, WHY, os.fspath(path))
    return stat.S_IMODE(status.st_mode)


def size(count: float) -> str:
    """Bytes in words, such as "3.2 GB"."""
    for unit, of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= of:
            return f"{count / of:.3g} {unit}"
    return f"{count:g} bytes"
