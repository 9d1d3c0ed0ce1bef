"""The samples of one tar file: members of one name but for what is behind its first full stop.

    KEY.jpg   KEY.cls, the class: a number or a name   KEY.txt, captions   KEY.json, either of them

As WebDataset (https://github.com/webdataset/webdataset) and img2dataset write them. Members of a
key need not follow each other. A tar in it is a class of its name, as in ImageNet's own archives:

    n01440764.tar with n01440764_18.JPEG, ...
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import jsonfile
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import caption_files, contents, label_lists, naming, tar_members
from m3i_jax.data.sources.contents import Read
from m3i_jax.data.sources.folder_names import is_system
from m3i_jax.data.sources.folder_tree import SUFFIXES
from m3i_jax.data.sources.inside import Inside
from m3i_jax.data.sources.tar_members import Member
from m3i_jax.types import Array

RECORD = np.dtype(
    [("shard", "<u4"), ("label", "<i4"), ("head", "<u8"), ("image", "<u8"), ("size", "<u8"),
     ("text", "<u8"), ("length", "<u4"), ("kind", "u1")]
)  # fmt: skip
LINES, TABLE = 1, 2  # kinds of `text`: 0 is none
CLASS = ("cls", "cls.txt", "class", "label")
TEXTS = {
    "txt": LINES,
    "text": LINES,
    "caption": LINES,
    "json": TABLE,
}  # in which order one is taken
LONGEST = 4096  # bytes of a class
MOST, LONG = 50, 200  # kinds of what is left out, and letters of a name in reports
Leave = Callable[[str, str], None]  # counts what is left out, by kind and name
COMPRESSED = {
    b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd",
}  # fmt: skip


class Samples(NamedTuple):
    """The samples of a file.

    records: (N,) of `RECORD`; head is where the image's header is, image and size where its bytes
      are, text and length those of its captions, label a number of `names`, shard is 0.
    names: of the classes, in the order in which they were met.
    left_out: what is no part of a sample, by kind: how often, and where first.
    """

    records: Array
    names: tuple[str, ...]
    left_out: dict[str, tuple[int, str]]


class _Parts(NamedTuple):
    """The members of a key, by what they are, and what classes are called by them; None = none."""

    images: list[Member]
    classes: list[tuple[Member, str | None]]
    texts: list[tuple[int, Member]]
    labels: list[str | None]


@dataclasses.dataclass
class _Tables:
    """What the JSON of a file has, as the first of it says: captions, a key of the class."""

    captions: bool = True
    label: str | None = None
    met: bool = False


def read(path: Path | Inside) -> Samples:
    """Reads the headers of a tar file, and the classes in it, once from its beginning to its end.

    Raises:
      ConfigError: it is no tar, compressed, or cannot be read.
    """
    ahead = tar_members.FAR if isinstance(path, Inside) else tar_members.AHEAD
    try:
        with contents.reader(path) as part:
            return _samples(path, tar_members.buffered(part, ahead=ahead), path.stat().st_size)
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {error.strerror}") from error


def _samples(path: Path | Inside, at: Read, total: int) -> Samples:
    _check(path, at(0, tar_members.BLOCK))
    left_out: dict[str, tuple[int, str]] = {}

    def leave(kind: str, name: str) -> None:
        kind = kind if kind in left_out or len(left_out) < MOST else "of other kinds"
        times, first = left_out.get(kind, (0, f"{path.name}: {name[:LONG]}"))
        left_out[kind] = (times + 1, first)

    names: dict[str, int] = {}
    within: list[Array] = []

    def outside() -> Iterator[Member]:
        """The members that are no tars; the samples of those that are go into `within`."""
        for member in tar_members.members(at, total):
            if _is_tar(member, at):
                inner = _inside(member, at)
                within.append(_rows(inner, at, names, leave, label=member.name))
            else:
                yield member

    rows = _rows(outside(), at, names, leave)
    return Samples(np.concatenate([*within, rows]), tuple(names), left_out)


def _rows(
    members: Iterable[Member],
    at: Read,
    names: dict[str, int],
    leave: Leave,
    *,
    label: str = "",
) -> Array:
    """The records of these members; label: a file called as their class is, "" = none."""
    keys: dict[str, _Parts] = {}
    tables = _Tables()
    said = PurePosixPath(label).stem[:LONG]
    for member in members:
        _put(keys, member, at, tables, leave, label=said)
    rows = [
        _row(parts, tables.captions, names, leave)
        for key, parts in keys.items()
        if _whole(key, parts, leave)
    ]
    return np.array(rows, RECORD)


def _is_tar(member: Member, at: Read) -> bool:
    """Whether a member is a tar itself."""
    tar = not member.kind and member.name.lower().endswith(".tar") and member.size
    return (
        bool(tar)
        and not is_system(PurePosixPath(member.name).name)
        and tar_members.is_one(lambda offset, size: at(member.data + offset, size))
    )


def _inside(tar: Member, at: Read) -> Iterator[Member]:
    """The members of a tar in a tar, with places in the outer one."""

    def part(offset: int, size: int) -> bytes:
        return at(tar.data + offset, min(size, tar.size - offset))

    for one in tar_members.members(part, tar.size):
        yield one._replace(head=tar.data + one.head, data=tar.data + one.data)


def _check(path: Path, block: bytes) -> None:
    """Refuses a file that is no tar by its first bytes."""
    for magic, tool in COMPRESSED.items():
        if block.startswith(magic):
            raise ConfigError(
                f"'{path}' is compressed, so nothing in it can be found without reading all "
                f"before it; {tool} it first"
            )
    if not tar_members.is_one(lambda at, size: block[at : at + size]):
        raise ConfigError(f"'{path}' is no tar file" + ("; it is empty" if not block else ""))


def _put(
    keys: dict[str, _Parts],
    member: Member,
    at: Read,
    tables: _Tables,
    leave: Leave,
    *,
    label: str,
) -> None:
    """Puts a member to those of its key, with the class that it says: its bytes are near now.

    label: of a key whose members say none; "" = none.
    """
    folder, _, base = member.name.rpartition("/")
    stem, _, extension = base.partition(".")
    extension = extension.lower()
    if member.kind:
        leave(member.kind, member.name or f"byte {member.head}")
        if member.kind != tar_members.CUT:
            return
    if is_system(base) or not stem:
        return leave("hidden or a system's own", base)
    key = f"{folder}/{stem}"
    parts = keys.setdefault(key, _Parts([], [], [], [label] if label else []))
    if os.path.splitext(base)[1].lower() in SUFFIXES:
        parts.images.append(member)
    elif extension in CLASS:
        parts.classes.append((member, _class(member, at)))
    elif extension in TEXTS:
        parts.texts.append((TEXTS[extension], member))
        if TEXTS[extension] == TABLE:
            parts.labels.append(_label(member, at, tables, needed=not parts.classes and not label))
    else:
        leave(f"'.{extension[:LONG]}'", member.name)


def _whole(key: str, parts: _Parts, leave: Leave) -> bool:
    """Whether a key has an image; counts what it has twice, or for nothing."""
    for member in parts.images[1:]:
        leave("a second image of one key", member.name)
    if not parts.images:
        for member in (*(one for one, _ in parts.classes), *(text for _, text in parts.texts)):
            leave("without an image of its key", member.name)
    return bool(parts.images)


def _row(parts: _Parts, captions: bool, names: dict[str, int], leave: Leave) -> tuple:
    """The record of a key; captions: whether JSON has any."""
    image = parts.images[0]
    texts = sorted(parts.texts, key=lambda text: text[0])
    kind, text = next((t for t in texts if t[0] == LINES or captions), (0, image))
    if parts.classes:
        member, name = parts.classes[0]
        if name is None:
            leave("no class", member.name)
    else:
        name = next(iter(parts.labels), None)
    name = None if not name or naming.NONE.fullmatch(name) else name
    code = -1 if name is None else names.setdefault(name, len(names))
    where = (text.data, min(text.size, 2**32 - 1), kind) if kind else (0, 0, 0)
    return (0, code, image.head, image.data, min(image.size, 2**63), *where)


def _class(member: Member, at: Read) -> str | None:
    """The name or number of a class that a member is; None of what is neither."""
    try:
        name = at(member.data, min(member.size, LONGEST)).decode().strip()
    except UnicodeDecodeError:
        return None
    return None if not name or len(name) > LONG or "\n" in name or "\0" in name else name


def _label(member: Member, at: Read, tables: _Tables, *, needed: bool) -> str | None:
    """The class that JSON says; what the first of a file has is looked for in all of it.

    needed: whether no other member says a class.
    """
    if tables.met and not (needed and tables.label):
        return None
    table = _table(member, at)
    if not tables.met:
        tables.met = True
        if table is None:  # a broken one may be the only such
            return None
        labels = [key for key in table if label_lists.is_class(key)]
        exact = [key for key in labels if key.casefold() == "label"]
        tables.label = next(iter(exact or labels), None)
        tables.captions = caption_files.key(table) is not None
    value = (table or {}).get(tables.label) if tables.label else None
    return str(value).strip()[:LONG] if isinstance(value, str | int) else None


def _table(member: Member, at: Read) -> dict[str, Any] | None:
    """The object of a member of JSON; None of what is none."""
    try:
        table = jsonfile.parse(at(member.data, min(member.size, caption_files.MAX_JSON)))
    except ValueError:
        return None
    return table if isinstance(table, dict) else None
