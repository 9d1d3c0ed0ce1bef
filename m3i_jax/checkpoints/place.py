"""Where the checkpoints of a run lie: WORKDIR/checkpoints/STEP."""

import itertools
from collections.abc import Iterator
from pathlib import Path

FOLDER = "checkpoints"


def folder(workdir: str | Path) -> Path:
    """The folder of the checkpoints of a work directory."""
    return Path(workdir) / FOLDER


def parted(path: str | Path) -> tuple[Path, int | None]:
    """(WORKDIR, step) of WORKDIR/checkpoints/STEP; of a WORKDIR the step is None, the newest."""
    path = Path(path)
    if path.parent.name == FOLDER and path.name.isdecimal():
        return path.parent.parent, int(path.name)
    return path, None


def numbered(workdir: str | Path) -> Iterator[Path]:
    """A work directory, and those of the same name with a number behind it: x, x-2, x-3, ..."""
    path = Path(workdir)
    yield path
    yield from (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))


def free(workdir: str | Path) -> Path:
    """The first of these that is not there."""
    return next(path for path in numbered(workdir) if not path.exists())


def steps(workdir: str | Path) -> list[int]:
    """The steps that have a checkpoint, by the names of their folders; none is opened."""
    try:
        names = [one.name for one in folder(workdir).iterdir()]
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())
