"""Files of JSON lines, one record each: several programs may add to one, and others write in it."""

import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.storage import publish, writing

LOG = logging.getLogger(__name__)
Record = TypeVar("Record")


def content(path: str | Path) -> bytes:
    """All of a file that lines are appended to, b"" where there is none.

    Raises:
      ConfigError: something else has its name: a folder, a pipe, a device.
    """
    try:
        return jsonfile.content(path)
    except FileNotFoundError:
        return b""
    except ValueError as error:
        raise ConfigError(f"'{path}' cannot be read: {error}") from error


def lines(text: bytes) -> list[str]:
    """The lines of such a file; what parts lines of text elsewhere may be in a string of JSON."""
    return [line.decode(errors="replace") for line in text.splitlines()]


def append(path: Path, added: Sequence[str]) -> None:
    """Adds lines to a file that others may be adding to, all or none of them.

    The file is replaced as a whole under a lock: a crash leaves the old lines.

    Raises:
      ConfigError: see `content`.
      Unwritable: the disk is full or read-only.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock")
        with open(ordinary.opened(lock, os.O_WRONLY | os.O_CREAT), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            old = content(path)
            if old and not old.endswith(b"\n"):  # a line that was cut keeps to itself
                old += b"\n"
            publish(path, old + "".join(line + "\n" for line in added).encode())


def records(path: Path, parse: Callable[[str], Record], *, what: str) -> list[Record]:
    """What `parse` makes of the lines of a file, in their order; [] where there is no file.

    A line that it refuses by a ValueError, as others may have written it, is left out, and the log
    says so.  what: a record is, for the log.

    Raises:
      ConfigError: see `content`.
    """
    parsed = []
    for number, line in enumerate(lines(content(path)), 1):
        try:
            parsed.append(parse(line))
        except ValueError as error:
            LOG.warning("%s: line %d is no %s and left out: %s", path, number, what, error)
    return parsed
