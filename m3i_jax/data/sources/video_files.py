"""Videos of one object as GOT-10k and LaSOT have them: a folder of frames, with a box of each.

    ROOT/{train,val,test}/list.txt        ROOT/train/NAME/00000001.jpg
                                          groundtruth.txt  absence.label  cover.label
    ROOT/{training,testing}_set.txt       ROOT/CLASS/CLASS-1/img/00000001.jpg
                                          groundtruth.txt  full_occlusion.txt  out_of_view.txt

A line of groundtruth.txt is left, top, width, height of the object in a frame, or NaN. The other
files say of each frame whether it is absent, how much of it is covered by nothing, whether it is
hidden or out of view. http://got-10k.aitestunion.com, https://vision.cs.stonybrook.edu/~lasot/
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import paired_folders, texts
from m3i_jax.data.sources.decoding import reason
from m3i_jax.data.sources.folder_names import ORDER, splits
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.data.sources.split_words import words
from m3i_jax.data.sources.video_pairs import Video
from m3i_jax.types import Array

BOXES = "groundtruth.txt"
FRAMES = (".jpg", ".jpeg", ".png")
# What numbers in a file of its frames say that the object is seen.
SEEN: dict[str, Callable[[Array], Array]] = {
    "absence.label": lambda numbers: numbers == 0,
    "cover.label": lambda numbers: numbers > 0,
    "full_occlusion.txt": lambda numbers: numbers == 0,
    "out_of_view.txt": lambda numbers: numbers == 0,
}


class Found(NamedTuple):
    """Videos of a split, and the files of the frames of each; sentences on those left out."""

    videos: list[Video]
    frames: list[list[Path]]
    warnings: tuple[str, ...]


def found(root: Path, split: str) -> Found:
    """All videos of a split; of several that may be the test split the first with boxes.

    Raises:
      NoSplit: there is no such split.
      ConfigError: there is no folder, or no video in it that can be read.
    """
    paired_folders.require(root, split)
    there = None
    for kind in ORDER[split]:
        if (folders := _folders(root, kind)) is None:
            continue
        there = _read(folders)
        if any(len(video.shown) > 1 for video in there.videos):
            break
    if there is None:
        raise NoSplit(
            f"'{root}' has no {split} split: neither a folder of that name with folders of frames "
            "nor a list of names such as training_set.txt"
        )
    if not there.videos:
        why = there.warnings[0] if there.warnings else f"no folder has a {BOXES}"
        raise ConfigError(f"'{root}' has no video of the {split} split that can be read: {why}")
    return there


def video(folder: Path) -> tuple[Video, list[Path]]:
    """A video, and its frames.

    Raises:
      ValueError: there are others than as many boxes as frames, or one, that of the first.
    """
    inner = folder / "img" if (folder / "img").is_dir() else folder
    frames = sorted(file for file in inner.iterdir() if file.suffix.lower() in FRAMES)
    boxes = _rows(folder / BOXES, 4)
    if len(boxes) == 1 < len(frames):  # where the rest is kept secret
        boxes = np.concatenate([boxes, np.full((len(frames) - 1, 4), np.nan)])
    if len(boxes) != len(frames) or not frames:
        raise ValueError(f"it has {len(frames)} frames and {len(boxes)} boxes")
    left, top, width, height = boxes.T
    seen = ~np.isnan(boxes).any(1)
    for name, says in SEEN.items():
        if (folder / name).is_file():
            numbers = _rows(folder / name, 1)[:, 0]
            if len(numbers) != len(frames):
                raise ValueError(f"it has {len(frames)} frames, and {name} {len(numbers)} numbers")
            seen &= says(numbers)
    corners = np.stack([top, left, top + height, left + width], axis=1)
    return Video(folder.name, corners.astype(np.float32), seen), frames


def _folders(root: Path, kind: str) -> list[Path] | None:
    """The folders of the videos of a split, None = there is no such split."""
    base = splits(root).get(kind)
    lists = [root / "list.txt"] if base is None else [base / "list.txt"]
    lists += [] if base else [file for file in sorted(root.glob("*.txt")) if _says(file, kind)]
    if named := [file for file in lists if file.is_file() and (base or _says(file, kind))]:
        lines = [line.strip() for line in texts.read(named[0]).splitlines() if line.strip()]
        return [_named(base or root, line) for line in lines]
    if base is None and (kind != "train" or any(_says(f, "test") for f in root.glob("*.txt"))):
        return None
    around = base or root
    there = {
        file.parent for pattern in (f"*/{BOXES}", f"*/*/{BOXES}") for file in around.glob(pattern)
    }
    return sorted(there) if there or base else None


def _says(file: Path, kind: str) -> bool:
    """Whether a file is named after a split: training_set.txt."""
    others = {"training": "train", "testing": "test", "validation": "val"}
    return kind in {others.get(word, word) for word in words(file.stem)}


def _named(base: Path, name: str) -> Path:
    """The folder of a video of a list: NAME, or CLASS/NAME of CLASS-3; it lies in `base`."""
    if "/" in name or "\\" in name or name in (".", ".."):
        raise ConfigError(f"a list in '{base}' names {name!r}, which is no folder in it")
    inner = base / name.rpartition("-")[0] / name
    return inner if inner.is_dir() else base / name


def _read(folders: list[Path]) -> Found:
    there, broken = [], []
    for folder in folders:
        try:
            there.append(video(folder))
        except (OSError, ValueError) as error:
            broken.append(f"'{folder.name}' ({reason(error)})")
    empty = [f"'{one.name}' (nobody sees its object)" for one, _ in there if not len(one.shown)]
    there = [(one, frames) for one, frames in there if len(one.shown)]
    lost = broken + empty
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    said = (f"left out {len(lost)} videos: {', '.join(lost[:3])}{more}",) if lost else ()
    return Found([one for one, _ in there], [frames for _, frames in there], said)


def _rows(file: Path, columns: int) -> Array:
    """(F, columns) float64 of a file of numbers, a line each or in one line."""
    try:
        text = texts.read(file)
        numbers = np.array([float(word) for word in re.split(r"[,;\s]+", text.strip()) if word])
        if len(numbers) % columns:
            raise ValueError(f"{len(numbers)} numbers, expected {columns} of each frame")
        if np.isinf(numbers).any():
            raise ValueError("it has numbers that are not finite")
        return numbers.reshape(-1, columns)
    except (ConfigError, ValueError) as error:
        raise ValueError(f"{file.name}: {reason(error)}") from error
