"""The image files of a folder, by subfolder, and how much else was lying there."""

import collections
import contextlib
import contextvars
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import caption_files, decoding, metadata, places
from m3i_jax.data.sources.folder_names import is_system, once, subfolders
from m3i_jax.data.sources.split_words import split_of

SUFFIXES = frozenset(itertools.chain.from_iterable(decoding.SUFFIXES.values()))
LOG = logging.getLogger(__name__)
TELL = 2.0  # seconds between two words on how far the listing of a large folder is
RUN = frozenset({"config.json", "starts.jsonl"})  # a work directory: its pictures are no data
SHOWN = 20  # kinds of files that a sentence names
PACKED = frozenset(f"'.{of}'" for of in ("zip", "tar", "tgz", "gz", "bz2", "xz", "7z", "rar"))
HINT = "what is packed within a folder is not read: unpack it, or give a zip as the data itself"
_LISTED: contextvars.ContextVar[dict | None] = contextvars.ContextVar("listed", default=None)


class Tree(NamedTuple):
    """What is in a folder.

    flat: its own images.  folders: those in and below each of its subfolders, none where there are
    none; both sorted by path.  left_out: how many files and folders were not taken, by kind.
    texts: the file of an image's captions, where there is one.
    metadata: files that say something of several images, see `metadata`.
    unread: folders that cannot be read, each with the reason.
    seen: counts them aloud.
    """

    flat: list[Path]
    folders: dict[str, list[Path]]
    left_out: collections.Counter
    texts: dict[Path, Path]
    metadata: list[Path]
    unread: dict[str, str]
    seen: "Seen"

    def __str__(self) -> str:
        """Such as "3 '@eaDir', 12 '.tif', 1 of 2 folders without an image (ant)"; "" of nothing."""
        kinds = self.left_out.most_common(SHOWN)
        said = [f"{count} {kind}" for kind, count in kinds]
        said += [f"{len(self.left_out) - SHOWN} more kinds"] * (len(self.left_out) > SHOWN)
        packed = PACKED & self.left_out.keys()
        return ", ".join(said) + (f" ({HINT})" if packed else "")


class Seen:
    """Counts images while a folder is listed, and says how many, every `TELL` seconds."""

    def __init__(self, folder: Path):
        """Of a folder; the clock starts now."""
        self._folder, self._count, self._due = folder, 0, time.monotonic() + TELL

    def each(self, images: Sequence[str]) -> Iterator[str]:
        """The images, counted as they go by."""
        for image in images:
            self._count += 1
            if (now := time.monotonic()) >= self._due:
                self._due = now + TELL
                LOG.info("looking through '%s': %d images so far", self._folder, self._count)
            yield image


@contextlib.contextmanager
def listed_once() -> Iterator[None]:
    """Within it a folder is listed the first time that somebody asks, as it is then.

    For a command that looks at a folder before it reads it: listing a million files takes a minute.
    """
    token = _LISTED.set({})
    try:
        yield
    finally:
        _LISTED.reset(token)


def _once(key: tuple, make: Callable[[], Any]) -> Any:
    """What `make` gives, or has given within `listed_once`."""
    listed = _LISTED.get()
    if listed is None:
        return make()
    if key not in listed:
        listed[key] = make()
    return listed[key]


def tree(folder: Path, *, captions: bool) -> Tree:
    """Lists a folder.

    captions: whether a file of captions beside an image is used, and so not left out.

    Raises:
      ConfigError: it cannot be read, or a subfolder holds splits.
    """
    return _once(("tree", folder, captions), lambda: _tree(folder, captions))


def _tree(folder: Path, captions: bool) -> Tree:
    left_out: collections.Counter = collections.Counter()
    listing = Tree([], {}, left_out, {}, [], {}, Seen(folder))
    flat = _images(folder, listing, captions, deep=False)
    own, again = once(folder)
    left_out.update(f"link to the folder '{other}'" for other in again.values())
    for one in own:
        images = _images(one, listing, captions, deep=True)
        if str(one) in listing.unread:
            continue
        inner = [d.name for d in subfolders(one) if split_of(d.name)]
        if len({split_of(name) for name in inner}) > 1:
            raise ConfigError(
                f"'{one}' holds the splits {' and '.join(inner)}; give it as config.data.root, or "
                "put its images into a folder of its name within each split"
            )
        listing.folders[one.name] = images
    return listing._replace(flat=flat)


def filled(folder: Path) -> list[str]:
    """Names of the subfolders with an image in or below them; stops at the first one of each."""
    walks = {d.name: _walk(d, collections.Counter(), {}) for d in once(folder)[0]}
    return [
        name
        for name, walk in walks.items()
        if any(_regular(place / image, {}) for place, images, _ in walk for image in images)
    ]


def below(folder: Path) -> list[Path]:
    """What looks like an image in and below a folder, sorted by path; nothing is opened."""
    return _once(("below", folder), lambda: _below(folder))


def _below(folder: Path) -> list[Path]:
    walks = [_walk(folder, collections.Counter(), {}, deep=False)]
    walks += [_walk(one, collections.Counter(), {}) for one in once(folder)[0]]
    return sorted(place / name for walk in walks for place, names, _ in walk for name in names)


def has_images(folder: Path) -> bool:
    """Whether there is an image in the folder itself."""
    walk = _walk(folder, collections.Counter(), {}, deep=False)
    return any(_regular(place / image, {}) for place, images, _ in walk for image in images)


def _images(folder: Path, there: Tree, captions: bool, *, deep: bool) -> list[Path]:
    """Regular image files, also through links, sorted by path; the rest is put into `there`."""
    regular, left_out = [], there.left_out
    for place, images, others in _walk(folder, left_out, there.unread, deep=deep):
        paths = (place / name for name in there.seen.each(images))
        taken = [image for image in paths if _regular(image, there.unread)]
        if str(place) not in there.unread:
            left_out["broken link or no regular file"] += len(images) - len(taken)
        beside = caption_files.beside(taken, others) if captions else {}
        there.texts.update(beside)
        tables = [n for n in others if metadata.is_one(n) and _regular(place / n, there.unread)]
        there.metadata.extend(place / name for name in sorted(tables))
        for name in others.difference(tables, (text.name for text in beside.values())):
            suffix = os.path.splitext(name)[1]
            left_out[f"'{suffix.lower()}'" if suffix else "without a suffix"] += 1
        regular += taken
    for kind in [kind for kind, count in left_out.items() if not count]:
        del left_out[kind]
    return sorted(regular)


def _regular(file: Path, unread: dict[str, str]) -> bool:
    """Whether it is a regular file; of a folder whose files nobody may look at `unread` says so."""
    try:
        return file.is_file()
    except OSError as error:
        unread[str(file.parent)] = error.strerror
        return False


def _walk(
    folder: Path, left_out: collections.Counter, unread: dict[str, str], *, deep: bool = True
):
    """Yields (folder, names of images, of other files) of each folder, without a system's own.

    unread: gets the folders that cannot be read.
    """
    met = lambda error: unread.update({str(error.filename): error.strerror})  # noqa: E731
    for parent, folders, files in places.walk(folder, onerror=met):
        if RUN <= {*files}:
            left_out["folder of a run"] += 1
            folders[:], files = [], []
        for name in (name for name in (*folders, *files) if is_system(name)):
            left_out[_kind(name)] += 1
        links = [d for d in folders if not is_system(d) and (parent / d).is_symlink()]
        if deep and links:
            left_out["link to a folder"] += len(links)
        folders[:] = sorted(d for d in folders if deep and not is_system(d) and d not in links)
        files = [name for name in files if not is_system(name)]
        images = [name for name in files if os.path.splitext(name)[1].lower() in SUFFIXES]
        others = set(files).difference(images)
        yield parent, images, others


def _kind(name: str) -> str:
    """How a hidden or system name is counted."""
    return "'._…'" if name.startswith("._") else f"'{name}'"
