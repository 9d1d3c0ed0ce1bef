"""What `dataset.json` beside shards says: which files there are, and whether they are whole.

{"format": "m3i.shards", "version": 1, "classes": [name, …], "made": {…},
 "splits": {"train": {"shards": [{"file": …, "records": n, "bytes": n, "sha256": …}, …],
                      "labels": {"file": "train.labels.npy", …},
                      "captions": {"file": "train.captions.jsonl", …},
                      "unknown": {name: n}, "captioned": n}}}
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import listed
from m3i_jax.data.sources.skeletons import Skeleton
from m3i_jax.types import Array

FILE = "dataset.json"
FORMAT, VERSION = "m3i.shards", 1
BLOCK = 2**20
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Stored(NamedTuple):
    """A file beside `dataset.json`: its name, how many records it is of, bytes and their digest."""

    file: str
    records: int
    bytes: int
    sha256: str


class Split(NamedTuple):
    """The shards of a split, in order of their records.

    labels: a .npy file of (N,) int32 numbers of the classes, -1 = none; None = it has no labels.
    captioned: how many records have a caption.
    unknown: how many are of each class that training lacks; these have no label.
    captions: a file of `caption_lines`; None = they are in the records alone, or there are none.
    """

    shards: tuple[Stored, ...]
    labels: Stored | None = None
    captioned: int = 0
    unknown: Mapping[str, int] = NOTHING
    captions: Stored | None = None

    @property
    def beside(self) -> tuple[Stored, ...]:
        """The files beside the shards."""
        return tuple(file for file in (self.labels, self.captions) if file is not None)


class Manifest(NamedTuple):
    """A data set in shards.

    classes: of the training split, which labels of all splits are numbers of.
    splits: by "train" and "test".   made: what they were made of and how, for people.
    categories, skeleton, object_names: of masks, key points and objects, see `protocol.Source`.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    made: Mapping[str, Any] = NOTHING
    categories: tuple[str, ...] = ()
    skeleton: Skeleton | None = None
    object_names: tuple[str, ...] = ()


def shard(split: str, number: int, count: int, *, suffix: str = ".array_record") -> str:
    """The name of a shard: train-00003-of-00012.array_record."""
    return f"{split}-{number:05d}-of-{count:05d}{suffix}"


def stored(file: Path, records: int) -> Stored:
    """What a manifest says of a file that is there; reads all of it."""
    digest, size = hashlib.sha256(), 0
    with open(ordinary.opened(file, os.O_RDONLY), "rb") as stream:
        while part := stream.read(BLOCK):
            digest.update(part)
            size += len(part)
    return Stored(file.name, records, size, digest.hexdigest())


def write_labels(folder: Path, split: str, labels: Sequence[int] | Array) -> Stored:
    """Writes (N,) labels of a split beside its shards."""
    file = folder / f"{split}.labels.npy"
    ordinary.written_by(file, lambda into: np.save(into, np.asarray(labels, np.int32)))
    return stored(file, len(labels))


def write(folder: Path, manifest: Manifest) -> Path:
    """Writes `dataset.json`, last of all: a folder without it is not whole."""
    splits = {name: _plain(split) for name, split in manifest.splits.items()}
    head = {"format": FORMAT, "version": VERSION, "classes": list(manifest.classes)}
    head |= {"categories": list(manifest.categories)} if manifest.categories else {}
    head |= {"skeleton": manifest.skeleton._asdict()} if manifest.skeleton else {}
    head |= {"object_names": list(manifest.object_names)} if manifest.object_names else {}
    text = json.dumps(head | {"made": dict(manifest.made), "splits": splits}, indent=1)
    place, draft = folder / FILE, folder / f".{FILE}.{os.getpid()}"
    ordinary.written(draft, text.encode(), sync=True)
    os.replace(draft, place)
    return place


def read(folder: Path) -> Manifest:
    """What is beside shards.

    Raises:
      ConfigError: there is no `dataset.json`, it is damaged, or of another format.
    """
    place = folder / FILE
    try:
        said = jsonfile.read(place)
        if not isinstance(said, dict) or said.get("format") != FORMAT:
            raise ValueError(f"its format is not '{FORMAT}'")
        if said["version"] != VERSION:
            raise ValueError(f"it is of version {said['version']}, expected {VERSION}")
        splits = {name: _split(split) for name, split in said["splits"].items()}
        return Manifest(
            _names(said["classes"]),
            splits,
            dict(said.get("made", {})),
            _names(said.get("categories", [])),
            _skeleton(said["skeleton"]) if "skeleton" in said else None,
            _names(said.get("object_names", [])),
        )
    except FileNotFoundError as error:
        raise ConfigError(f"there is no '{place}', without which shards are not whole") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{place}' cannot be read: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"'{place}' lacks something, or has it of another kind") from error


def labels(folder: Path, split: Split, classes: Sequence[str]) -> Array:
    """(N,) numbers of the classes, -1 = none, mapped into memory.

    Raises:
      ConfigError: the file is missing, damaged, or does not fit the shards.
    """
    count = sum(shard.records for shard in split.shards)
    if split.labels is None:
        return np.broadcast_to(np.int32(-1), count)
    place = folder / split.labels.file
    try:
        os.close(ordinary.opened(place, os.O_RDONLY))
        numbers = np.load(place, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header is read as Python, which raises anything
        raise ConfigError(f"'{place}' cannot be read: {error or type(error).__name__}") from error
    if numbers.shape != (count,) or numbers.dtype != np.int32:
        raise ConfigError(
            f"'{place}' is {numbers.dtype} of {numbers.shape}, expected {count} int32"
        )
    if count and not -1 <= numbers.min() <= numbers.max() < len(classes):
        raise ConfigError(f"'{place}' has labels beyond the {len(classes)} classes")
    return numbers


def require_sizes(folder: Path, split: Split) -> None:
    """Refuses files that are missing, or have another size than was written.

    Raises:
      ConfigError: naming them.
    """
    wrong = []
    for one in (*split.shards, *split.beside):
        place = folder / one.file
        if not place.is_file():
            wrong.append(f"{one.file} is missing")
        elif (size := place.stat().st_size) != one.bytes:
            wrong.append(f"{one.file} has {size} of {one.bytes} bytes")
    if wrong:
        raise ConfigError(f"'{folder}' is not whole: {listed(wrong)}")


def _plain(split: Split) -> dict[str, Any]:
    plain = {"shards": [shard._asdict() for shard in split.shards], "captioned": split.captioned}
    plain |= {"labels": split.labels._asdict()} if split.labels else {}
    plain |= {"captions": split.captions._asdict()} if split.captions else {}
    return plain | ({"unknown": dict(split.unknown)} if split.unknown else {})


def _split(said: Mapping[str, Any]) -> Split:
    shards = tuple(map(_stored, said["shards"]))
    if len({one.file for one in shards}) < len(shards):
        raise ValueError("a shard is there twice")
    labels, captions = (_stored(said[k]) if k in said else None for k in ("labels", "captions"))
    unknown = {str(name): _count(n) for name, n in said.get("unknown", {}).items()}
    return Split(shards, labels, _count(said.get("captioned", 0)), unknown, captions)


def _stored(said: Mapping[str, Any]) -> Stored:
    name, digest = said["file"], said["sha256"]
    if not (isinstance(name, str) and re.fullmatch(r"\w[^/\\\0]*", name)):
        raise ValueError(f"'{name}' is no name of a file beside it")
    if not isinstance(digest, str) or len(digest) != 64:
        raise ValueError(f"the digest of '{name}' is none of SHA-256")
    records, size = _count(said["records"]), _count(said["bytes"])
    if records > size:
        raise ValueError(f"{records} records of '{name}' in {size} bytes")
    return Stored(name, records, size, digest)


def _count(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r} is no count")
    return number


def _names(said: Any) -> tuple[str, ...]:
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise ValueError("its classes, categories or key points are no names")
    return tuple(said)


def _skeleton(said: Mapping[str, Any]) -> Skeleton:
    names = _names(said["names"])
    pairs = [tuple((_count(a), _count(b)) for a, b in said[key]) for key in ("swapped", "bones")]
    upper = tuple(map(_count, said["upper"]))
    if any(
        n >= len(names) for n in (*upper, *(n for both in pairs for pair in both for n in pair))
    ):
        raise ValueError(f"its skeleton has others than {len(names)} key points")
    return Skeleton(names, *pairs, upper)
