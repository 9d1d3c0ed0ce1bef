"""What all of COCO's JSON files have in common: read within bounds, as others have written them.

https://cocodataset.org/#format-data
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from m3i_jax import jsonfile
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import paired_folders
from m3i_jax.data.sources.folder_names import ORDER, splits
from m3i_jax.data.sources.protocol import NoSplit, listed
from m3i_jax.data.sources.split_words import words

SIZE = 2**31  # bytes of a file; lvis_v1_train.json has 1.1e9, instances_train2017.json 4.7e8
FOLDERS = ("annotations", "json", ".")  # where the JSON is: COCO, CrowdPose, others


def content(file: Path) -> Any:
    """What a file says.

    Raises:
      ConfigError: it cannot be read.
    """
    try:
        return jsonfile.read(file, size=SIZE)
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{file}' cannot be read: {error}") from error


def whole(number: Any) -> int:
    """A whole number; a ValueError where it is none."""
    if type(number) is not int:
        raise ValueError(f"{number!r} is no whole number")
    return number


def entries(said: Any, key: str) -> list[dict[str, Any]]:
    """What a file lists under a name; a ValueError where it has no list of objects there."""
    if not isinstance(said, dict):
        raise ValueError(f"it is no object of JSON with '{key}' in it")
    own = said[key]
    if not isinstance(own, list) or not all(isinstance(one, dict) for one in own):
        raise ValueError(f"its '{key}' are no list of objects of JSON")
    return own


def flag(said: Any) -> bool:
    """Whether something is so: 0, 1, or nothing, for 0; a ValueError where it is none of these."""
    if said not in (None, 0, 1):
        raise ValueError(f"{said!r} is neither 0 nor 1")
    return bool(said)


def finite(number: Any) -> float:
    """A number; a ValueError where it is none."""
    if type(number) not in (int, float) or not math.isfinite(number):
        raise ValueError(f"{number!r} is no number")
    return float(number)


def name(image: Mapping[str, Any]) -> str:
    """The file of an image, from the folder of images on: `file_name`, or the end of `coco_url`."""
    said = image["file_name"] if "file_name" in image else _of_url(image["coco_url"])
    if not isinstance(said, str) or said.startswith("/") or ".." in said.split("/") or not said:
        raise ValueError(f"{said!r} is no name of an image")
    return said


def why(error: Exception) -> str:
    """What an error says, also of a key that is not there."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def found(place: Path, split: str, annotations: str | None, *, others: set[str]) -> Path:
    """The JSON file of a split.

    Args:
      annotations: its name from the folder on, with {split} in it for train or test; None = the
        only one of `FOLDERS` whose name says the split, or the only one in a folder that does.
      others: words in names of files that are of something else.

    Raises:
      NoSplit: there is none.
      ConfigError: there are several.
    """
    paired_folders.require(place, split)
    if annotations is not None:
        file = place / annotations.replace("{split}", split)
        if not file.is_file():
            raise NoSplit(f"there is no file '{file}' of the {split} split")
        return file
    files = [
        file
        for folder in FOLDERS
        for file in sorted((place / folder).glob("*.json"))
        if not others & {*words(file.stem)}
    ]
    inner = splits(place)
    for kind in ORDER[split]:
        fitting = [file for file in files if kind in words(file.stem)]
        if not fitting and kind in inner:
            fitting = sorted(inner[kind].glob("*.json"))
        if len(fitting) > 1:
            raise ConfigError(
                f"'{place}' has {listed(file.name for file in fitting)}; say which is meant: "
                "data.annotations, with {split} in it for train or test"
            )
        if fitting:
            return fitting[0]
    raise NoSplit(
        f"'{place}' has no JSON file of the {split} split in {', '.join(FOLDERS[:2])} or itself"
    )


def images(place: Path, file: Path, first: str, split: str) -> Path:
    """The folder that the names of images begin in: the one of those around that has the first.

    Raises:
      ConfigError: none has it.
    """
    outer = [place / "images", place]
    by_kind = [splits(folder) for folder in outer if folder.is_dir()]
    inner = [there[kind] for there in by_kind for kind in ORDER[split] if kind in there]
    tried = [*inner, *outer, *([] if file.parent in outer else [file.parent])]
    for folder in tried:
        if (folder / first).is_file():
            return folder
    raise ConfigError(f"there is no '{first}' in {listed(map(str, tried))}")


def _of_url(url: Any) -> Any:
    """LVIS's images have no other name: train2017/000000391895.jpg."""
    return "/".join(url.split("/")[-2:]) if isinstance(url, str) and "://" in url else url
