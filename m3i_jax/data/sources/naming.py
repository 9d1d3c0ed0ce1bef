"""From a container's own numbers of classes to those of training, by name."""

import collections
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import texts
from m3i_jax.data.sources.folder_names import same
from m3i_jax.data.sources.protocol import listed
from m3i_jax.types import Array

NONE = re.compile(r"-\d+")  # the class of a split without classes
BESIDE = ("classnames.txt", "classes.txt", "labels.txt")  # files of names that are looked for


class Named(NamedTuple):
    """(N,) labels, -1 = none; what they are numbers of; how many are of classes it lacks."""

    labels: Array
    classes: tuple[str, ...]
    unknown: dict[str, int]


def numbered(codes: Array, names: Sequence[str], classes: Sequence[str] | None) -> Named:
    """Labels of records whose classes are `names[codes]`; a code of -1 is none.

    classes: of training; None takes `names`.
    """
    if not len(names):
        return Named(np.broadcast_to(np.int32(-1), (len(codes),)), tuple(classes or ()), {})
    classes = tuple(names) if classes is None else tuple(classes)
    known = {same(name): number for number, name in enumerate(classes)}
    if len(known) != len(classes):
        raise ConfigError(f"two classes of {listed(classes)} have names that look the same")
    # A code of -1 reads the last number, which is -1, too.
    numbers = np.array([known.get(same(name), -1) for name in names] + [-1], np.int32)
    labels = numbers[codes]
    counts = np.bincount(codes[(codes >= 0) & (labels < 0)], minlength=len(names))
    unknown = {names[code]: int(counts[code]) for code in np.flatnonzero(counts)}
    return Named(labels, classes, unknown)


class Called(NamedTuple):
    """Names of classes, the place of each name that was met among them, with a -1 behind, and a
    sentence on where they were read."""

    names: tuple[str, ...]
    places: Array
    note: str = ""


def called(met: Sequence[str], folder: Path, file: str | None) -> Called:
    """The classes of a container that met these names, in any order: sorted, numbers as such.

    Args:
      met: names, or numbers in digits.
      folder: that may have a file of `BESIDE`, the name of class n in its line n, from 0 on.
      file: such a file.

    Raises:
      ConfigError: `file` has no name for one of the numbers, or these are no numbers.
    """
    counted = all(name.isascii() and name.isdecimal() for name in met)
    beside = (folder / name for name in BESIDE if counted and met)
    path = Path(file).expanduser() if file else next((p for p in beside if p.is_file()), None)
    if path is None:
        names = sorted(met, key=(lambda name: (int(name), name)) if counted else None)
        place = {name: number for number, name in enumerate(names)}
        return Called(tuple(names), np.array([place[name] for name in met] + [-1], np.int32))
    if not counted:
        raise ConfigError(f"classes are called {listed(met)}; '{path}' has names for numbers")
    lines = [line.strip() for line in texts.read(path).splitlines() if line.strip()]
    last = max(map(int, met), default=0)
    if last >= len(lines):
        raise ConfigError(f"'{path}' has names for {len(lines)} classes, but one is number {last}")
    numbers = np.array([*map(int, met), -1], np.int32)
    return Called(tuple(lines), numbers, f"classes are called as in '{path}'")


def counts(unknown: collections.Counter | dict[str, int]) -> str:
    """How many records are of classes that training lacks; "" for none."""
    if not unknown:
        return ""
    return f"{sum(unknown.values())} of {listed(sorted(unknown))}, not in training"
