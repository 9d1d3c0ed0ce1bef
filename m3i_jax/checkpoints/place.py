"""Where the checkpoints of a run lie: WORKDIR/checkpoints/STEP."""

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


def steps(workdir: str | Path) -> list[int]:
    """The steps that have a checkpoint, by the names of their folders; none is opened."""
    try:
        names = [one.name for one in folder(workdir).iterdir()]
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())
