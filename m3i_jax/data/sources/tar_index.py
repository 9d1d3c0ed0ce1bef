"""Where the samples of tar files lie: made once, kept as a .npy file, mapped into memory.

The file is a NumPy array of `RECORD`, and behind it, as JSON, what it was made of: names, sizes and
times of the tar files. Where these are others it is made anew.
"""

import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from logging import getLogger
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import jsonfile, ordinary
from m3i_jax.data.sources import contents, tar_samples
from m3i_jax.data.sources.inside import Inside
from m3i_jax.types import Array

LOG = getLogger(__name__)
VERSION = 2  # 1 left tars in tars out
TELL = 5.0  # seconds between two words on how far it is
THREADS = 4  # tar files that are read at once: most of the time is the disk's


class Index(NamedTuple):
    """The samples of tar files.

    records: (N,) of `tar_samples.RECORD`, in memory or mapped from a file.
    names: of the classes, in the order in which they were met.
    left_out: what was met that is no sample, by kind: how often, and where first.
    digest: of the records and the names.
    """

    records: Array
    names: tuple[str, ...]
    left_out: dict[str, tuple[int, str]]
    digest: str


def opened(files: Sequence[Path]) -> Index:
    """The index of these files, which is made where there is none of them as they are now.

    It is kept beside the files, in the user's cache where nothing can be written there or the files
    are behind a URL, and else in memory.

    Raises:
      ConfigError: one is no tar, or compressed.
    """
    of = _described(files)
    beside = () if isinstance(files[0], Inside) else (files[0].parent,)
    places = [folder / _name(files) for folder in (*beside, _cache())]
    for place in places:
        if (index := _read(place, of)) is not None:
            return index
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".m3i-index-", dir=place.parent) as folder:
                partial = Path(folder) / place.name
                with open(ordinary.opened(partial, os.O_RDWR | os.O_CREAT), "w+b") as file:
                    _write(file, files, of)
                os.replace(partial, place)
        except OSError as error:
            LOG.info(
                "the index of the tar files is not kept in %s: %s", place.parent, error.strerror
            )
            continue
        if (index := _read(place, of)) is not None:
            LOG.info("the index of %d tar files is kept in %s", len(files), place)
            return index
    buffer = io.BytesIO()
    trailer = _write(buffer, files, of)
    count, start = trailer["count"], len(_npy(0))
    records = np.frombuffer(buffer.getbuffer(), tar_samples.RECORD, count, start)
    return _index(records, trailer)


def _described(files: Sequence[Path]) -> list[list[Any]]:
    """What an index is held against: names, sizes and times, and tags of what a store has."""
    stats = [(file, file.stat()) for file in files]
    return [
        [file.name, stat.st_size, stat.st_mtime_ns, *filter(None, [contents.tag(stat)])]
        for file, stat in stats
    ]


def _name(files: Sequence[Path]) -> str:
    """One for these files, whatever is in them."""
    paths = "\n".join(str(file.resolve()) for file in files)
    return f".m3i-index-{hashlib.sha256(os.fsencode(paths)).hexdigest()[:16]}.npy"


def _cache() -> Path:
    """The user's own, for folders that nothing can be written to."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "m3i_jax" / "indexes"


def _write(file: io.BufferedIOBase, files: Sequence[Path], of: list) -> dict[str, Any]:
    """Reads the headers of all files and writes their samples; returns what stands behind them."""
    file.write(_npy(0))
    digest, numbers, left_out, count = hashlib.sha256(), {}, {}, 0
    for number, samples in enumerate(_read_all(files)):
        records = samples.records
        records["shard"] = number
        codes = [numbers.setdefault(name, len(numbers)) for name in samples.names]
        records["label"] = np.array([*codes, -1], np.int32)[records["label"]]
        for kind, (times, first) in samples.left_out.items():
            before, earlier = left_out.get(kind, (0, first))
            left_out[kind] = (before + times, earlier)
        file.write(data := records.tobytes())
        digest.update(data)
        count += len(records)
    digest.update(json.dumps(list(numbers)).encode())
    trailer = {"version": VERSION, "of": of, "count": count, "names": list(numbers),
               "left_out": left_out, "digest": digest.hexdigest()[:16]}  # fmt: skip
    file.write(json.dumps(trailer).encode())
    file.seek(0)
    file.write(_npy(count))
    file.flush()
    return trailer


def _read_all(files: Sequence[Path]) -> Iterator[tar_samples.Samples]:
    """The samples of each file, in order; says how far it is where that takes long."""
    warned = time.monotonic()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="m3i-index") as pool:
        for done, samples in enumerate(pool.map(tar_samples.read, files), 1):
            if time.monotonic() > warned + TELL:
                warned = time.monotonic()
                LOG.info("reading where samples lie, once: %d of %d tar files", done, len(files))
            yield samples


def _npy(count: int) -> bytes:
    """NumPy's header of so many records, which is as long for any number of them."""
    buffer = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(tar_samples.RECORD)
    header = {"descr": descr, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def _read(place: Path, of: list) -> Index | None:
    """A file of an index; None where there is none, or it is of other files, or broken."""
    try:
        records = np.load(place, mmap_mode="r", allow_pickle=False)
        if records.dtype != tar_samples.RECORD or records.ndim != 1:
            return None
        behind = len(_npy(0)) + records.nbytes
        with open(ordinary.opened(place, os.O_RDONLY), "rb") as file:
            file.seek(behind)
            trailer = jsonfile.parse(file.read(jsonfile.SIZE))
        if (trailer["version"], trailer["of"], trailer["count"]) != (VERSION, of, len(records)):
            return None
        return _index(records, trailer)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _index(records: Array, trailer: dict[str, Any]) -> Index:
    left_out = {kind: (int(times), first) for kind, (times, first) in trailer["left_out"].items()}
    return Index(records, tuple(trailer["names"]), left_out, trailer["digest"])
