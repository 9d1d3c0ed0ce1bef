"""Where data lies, as a config says it: a folder on disk, a zip file, a URL; and what is in it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from m3i_jax import jsonfile
from m3i_jax.data.sources import remote, urls
from m3i_jax.data.sources.folder_names import is_system
from m3i_jax.data.sources.inside import LARGEST, Inside
from m3i_jax.data.sources.split_words import qualified, split_of
from m3i_jax.data.sources.zip_paths import SUFFIX, Archive

ZIP = re.compile(rf"(.+?{re.escape(SUFFIX)})(?:/+(.*))?", re.IGNORECASE)  # one, and a path in it


def place(root: str) -> Path | Inside:
    """The folder of a data set: one on disk or behind a URL, a zip file, or a folder in one
    (`a.zip/b`).

    A zip whose only folder holds the splits stands for that folder.
    """
    if urls.is_remote(root):
        if packed := ZIP.fullmatch(root):
            (file,) = remote.matching(packed[1])
            return _unwrapped(Inside(Archive(file), (packed[2] or "").strip("/")))
        return remote.folder(root)
    path = Path(urls.local(root))
    for file in (path, *path.parents):
        if file.suffix.lower() == SUFFIX and file.is_file():
            inside = Inside(Archive(file), "/".join(path.relative_to(file).parts))
            return _unwrapped(inside)
    return path


def content(path: Path | Inside, *, size: int = -1) -> bytes:
    """The first `size` bytes of a file, or all, as `jsonfile.content`."""
    if isinstance(path, Inside):
        return path.read_bytes(most=LARGEST if size < 0 else size)
    return jsonfile.content(path, size=size)


def walk(folder: Path | Inside, *, onerror) -> Iterator[tuple[Path | Inside, list[str], list[str]]]:
    """`os.walk`, with paths for texts."""
    if isinstance(folder, Inside):
        yield from folder.walk()
    else:
        for parent, folders, files in os.walk(folder, onerror=onerror):
            yield Path(parent), folders, files


def _unwrapped(inside: Inside) -> Inside:
    """The folder itself, or the only one in it where that holds the splits."""
    there = [path for path in inside.iterdir() if not is_system(path.name)]
    if len(there) != 1 or not there[0].is_dir() or split_of(there[0].name):
        return inside
    inner = _unwrapped(there[0])
    names = [path.name for path in inner.iterdir()]
    return inner if any(split_of(name) or qualified(name) for name in names) else inside
