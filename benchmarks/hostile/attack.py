"""What an attack is."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Attack(NamedTuple):
    """A file of a stranger.

    name: what it tries.  make: (folder, canary) writes it; code in it would make the canary.
    read: reads the folder, and says what came of it where it is not refused.
    """

    name: str
    make: Callable[[Path, Path], object]
    read: Callable[[Path], str]


class Touch:
    """What makes a file when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.canary}",)


def nested(depth: int, *, mark: str = "[") -> str:
    """Lists, or objects, in each other."""
    return mark * depth + "1" + ("]" if mark == "[" else "}") * depth


def sparse(path: Path, size: int, *, head: bytes = b"") -> None:
    """A file that says it has many bytes, and takes no room."""
    path.write_bytes(head)
    os.truncate(path, size)
