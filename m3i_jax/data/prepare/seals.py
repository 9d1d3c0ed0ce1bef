"""What is written of each part that is done: a killed run goes on behind it."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError

FOLDER = ".prepare"
SETTINGS = "settings.json"
CAPTIONS = "captions.jsonl"


class Seal(NamedTuple):
    """A part that is whole.

    bytes, sha256: of its file, or of its files one behind the other.   labels: of its records.
    captioned, copied: how many have a caption, and the bytes of the source.
    broken, left_out: [index, name, reason] of records that cannot be read, or not all of them.
    """

    records: int
    bytes: int
    sha256: str
    labels: list[int]
    captioned: int
    copied: int
    broken: list[list[Any]]
    left_out: list[list[Any]]


def begin(folder: Path, made: dict[str, Any]) -> None:
    """Notes what is made in a folder, or goes on with it.

    made: all that decides the bytes, see `Work.made`.

    Raises:
      ConfigError: the folder holds something else, or was begun with other settings.
    """
    place = folder / FOLDER / SETTINGS
    if place.is_file():
        return refuse_others(_read(place), made, folder)
    there = [p.name for p in folder.iterdir()] if folder.is_dir() else [""] * folder.exists()
    if set(there) - {FOLDER}:
        raise ConfigError(f"--output is '{folder}', which holds other things; name a new folder")
    place.parent.mkdir(parents=True, exist_ok=True)
    return _write(place, made)


def refuse_others(there: dict[str, Any], made: dict[str, Any], folder: Path) -> None:
    """Refuses to go on with what was made with other settings, or of other data.

    Raises:
      ConfigError: naming what differs.
    """
    was, now = _flat(there), _flat(made)
    names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    if names:
        changes = (f"{name} was {was.get(name)!r}, is now {now.get(name)!r}" for name in names)
        raise ConfigError(f"'{folder}' was made otherwise: {'; '.join(changes)}. Name another one")


def _flat(block: Mapping[str, Any], *, above: str = "") -> dict[str, Any]:
    """{"sources.train.records": 12, …} of objects in objects."""
    flat: dict[str, Any] = {}
    for key, value in block.items():
        inner = isinstance(value, Mapping)
        flat |= _flat(value, above=f"{above}{key}.") if inner else {above + key: value}
    return flat


def seal(folder: Path, part: str, done: Seal) -> None:
    """Notes that a part is whole."""
    _write(folder / FOLDER / f"{part}.json", done._asdict())


def sealed(folder: Path, part: str) -> Seal | None:
    """What was noted of a part; None where it is not done."""
    place = folder / FOLDER / f"{part}.json"
    return Seal(**_read(place)) if place.is_file() else None


def keep_captions(folder: Path, part: str, lines: bytes) -> None:
    """Keeps the captions of a part until all parts are there; before it is sealed."""
    ordinary.written(folder / FOLDER / f"{part}.{CAPTIONS}", lines, sync=True)


def join_captions(folder: Path, parts: Sequence[str], name: str) -> Path:
    """Writes the captions of several parts into one file, one part behind the other."""
    draft = folder / FOLDER / f"{name}.partial"
    with open(ordinary.opened(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as into:
        for part in parts:
            into.write(jsonfile.content(folder / FOLDER / f"{part}.{CAPTIONS}"))
        into.flush()
        os.fsync(into.fileno())
    os.replace(draft, folder / name)
    return folder / name


def end(folder: Path) -> None:
    """Takes the notes away, once `dataset.json` says all of it."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def _read(place: Path) -> Any:
    try:
        return jsonfile.read(place)
    except ValueError as error:
        raise ConfigError(f"'{place}' cannot be read: {error}; delete it") from error


def _write(place: Path, value: Any) -> None:
    draft = place.with_name(f"{place.name}.partial")
    try:
        ordinary.written(draft, json.dumps(value).encode(), sync=True)
    except OSError as error:  # of a disk that is full, which does not say of which file
        raise OSError(error.errno, error.strerror, str(place)) from error
    os.replace(draft, place)
