"""Features on disk, by a digest of all that decides them; streamed there as they are made.

An entry is a folder of NumPy files, sealed as checkpoints are: what is cut or changed is made
anew, and never read. Two programs that make the same one do not meet: each writes a folder of its
own, and the first to be done gives it its name.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax import ordinary
from m3i_jax.checkpoints import storage
from m3i_jax.checkpoints.faults import Damage, Unwritable
from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.types import Array

LOG = logging.getLogger(__name__)
LARGE = 2**30  # bytes of features above which they stay on disk, and are mapped
VERSION = 1  # of the extraction: count up whenever the same key gives other numbers
UNFINISHED = ".making-"
ABANDONED = 24 * 3600  # seconds without a byte, from which on nobody is making an entry any more


class Table:
    """Rows of one shape, in a NumPy file that grows as they come; nothing is kept in memory."""

    def __init__(self, path: Path):
        """Writes `path`; its header, which says how many rows there are, comes last."""
        self._path, self._file, self._shape, self._rows = path, open(path, "wb"), None, 0  # noqa: SIM115

    def add(self, rows: Array) -> None:
        """Appends (n, ...) float32 rows."""
        rows = np.ascontiguousarray(rows, np.float32)
        if self._shape is None:
            self._shape = rows.shape[1:]
            self._file.write(self._header())
        self._file.write(rows.data)
        self._rows += len(rows)

    def close(self) -> None:
        """Completes the file."""
        with self._file as file:
            file.seek(0)
            file.write(self._header())

    def _header(self) -> bytes:
        """NumPy's, which leaves room for the first axis to grow."""
        said = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, *(self._shape or ()))}
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, said)
        return buffer.getvalue()


def home() -> Path:
    """Where features are kept unless somebody says another folder: the user's own cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "m3i_jax" / "features"


def writable() -> Path | None:
    """The user's own cache; None where nothing can be written there."""
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**20))
    except OSError as error:
        LOG.warning("features are not kept: '%s' cannot be written: %s", folder, error.strerror)
        return None
    return folder


def digest(key: Mapping[str, Any]) -> str:
    """A name for a key of plain data."""
    text = json.dumps({**key, "version": VERSION}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def kept(
    folder: Path, key: Mapping[str, Any], make: Callable[[], Iterable[FeatureSet]]
) -> FeatureSet:
    """The features of a key: those on disk, or else those that `make` makes, which are kept.

    Args:
      folder: of all entries.
      key: plain data that says all that decides them.
      make: gives them in parts.

    Raises:
      Unwritable: the disk is full or read-only.
    """
    place = folder / digest(key)
    if (features := read(place)) is not None:
        LOG.info("features from %s", place)
        return features
    with storage.writing(folder, instead="--cache=FOLDER, or --cache=none to keep none"):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as unfinished:
            entry = Path(unfinished) / place.name
            entry.mkdir()
            _write(entry, key, make())
            _publish(entry, place)
    if (features := read(place)) is None:
        raise Unwritable(f"'{place}' was changed while it was written")
    size = sum(file.stat().st_size for file in place.iterdir())
    LOG.info("features kept in %s: %s", place, ordinary.size(size))
    return features


def _sweep(folder: Path) -> None:
    """Removes what programs that were killed have left unfinished."""
    for unfinished in folder.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(FileNotFoundError):  # its maker has just ended
            last = max(path.stat().st_mtime for path in [unfinished, *unfinished.rglob("*")])
            if time.time() - last > ABANDONED:
                storage.remove(unfinished)


def _write(entry: Path, key: Mapping[str, Any], parts: Iterable[FeatureSet]) -> None:
    rest: list[tuple[Array, Array]] = []
    with contextlib.closing(Table(entry / "features.npy")) as table:
        for features, *columns in parts:
            table.add(features)
            rest.append(tuple(columns))
    for name, column in zip(FeatureSet._fields[1:], zip(*rest, strict=True), strict=True):
        np.save(entry / f"{name}.npy", np.concatenate(column))
    storage.seal(entry, {"key": dict(key)})


def _publish(entry: Path, place: Path) -> None:
    """Gives an entry its name; one that is there by now and sound stays."""
    if place.exists() and read(place) is None:
        storage.remove(place)
    with contextlib.suppress(FileExistsError):
        try:
            storage.rename(entry, place)
        except OSError:
            if not place.exists():
                raise


def read(place: Path) -> FeatureSet | None:
    """An entry, every byte of which is as it was written; None where there is none such."""
    if not place.is_dir():
        return None
    try:
        storage.verify(place)
        columns = [
            np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in FeatureSet._fields
        ]
    except (Damage, OSError, ValueError) as error:
        LOG.warning("features in %s are made anew: %s", place, error)
        return None
    features, *rest = columns
    whole = features if features.nbytes > LARGE else np.array(features)
    return FeatureSet(whole, *map(np.array, rest))
