"""Files of captions beside images: which is whose, and what is in it.

NAME.txt, NAME.jpg.txt, NAME.caption    a caption a line
NAME.json                               {"caption": …} or "text": a text, or a list of them
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from m3i_jax import jsonfile
from m3i_jax.data.sources import places, texts
from m3i_jax.data.sources.folder_names import same

LINES = (".txt", ".caption")
KINDS = (*LINES, ".json")  # in which order one is taken
KEYS = ("caption", "captions", "text", "texts")
MAX_BYTES = 4096  # of lines that are read
MAX_JSON = 2**16  # of a file of JSON, which is not read in parts


def beside(images: Sequence[Path], others: Collection[str]) -> dict[Path, Path]:
    """The file of each image's captions, of the `others` in its folder.

    The case of .TXT and the form of an accent in NAME do not count; of several files the kind in
    front of `KINDS` comes first, then the one that is spelt as the image. JSON is taken where the
    first file has a key of `KEYS`: others keep boxes in it.
    """
    named: dict[str, list[Path]] = {}
    for name in map(Path, others):
        if name.suffix.lower() in KINDS:
            named.setdefault(same(name.stem), []).append(name)
    text_of = {}
    for image in images if named else ():
        about = [*named.get(same(image.stem), ()), *named.get(same(image.name), ())]
        spelt = sorted(about, key=lambda name, image=image: _order(name, image))
        files = (image.with_name(name.name) for name in spelt)
        if file := next((file for file in files if file.is_file()), None):
            text_of[image] = file
    tables = {image: file for image, file in text_of.items() if file.suffix.lower() not in LINES}
    if tables and not _has_captions(next(iter(tables.values()))):
        return {image: file for image, file in text_of.items() if image not in tables}
    return text_of


def _order(name: Path, image: Path) -> tuple:
    kind = name.suffix.lower()
    spelt = name.stem in (image.stem, image.name)
    return KINDS.index(kind), not spelt, same(name.stem) != same(image.stem), name.suffix != kind


def read(path: Path) -> tuple[str, str]:
    """The captions of a file, one a line, and what of it was left out, as words for a report."""
    table = path.suffix.lower() not in LINES
    try:
        data = places.content(path, size=most(table=table) + 1)
    except OSError as error:
        return "", f"cannot read '{path}': {error.strerror}"
    except ValueError as error:
        return "", f"cannot read '{path}': {error}"
    return parsed(data, table=table, what=str(path))


def most(*, table: bool) -> int:
    """How many bytes of captions are read, of JSON or of lines; `parsed` wants one more."""
    return MAX_JSON if table else MAX_BYTES


def parsed(data: bytes, *, table: bool, what: str) -> tuple[str, str]:
    """As `read`, of the bytes of a file that is called `what`; table: whether they are JSON."""
    if table:
        try:
            return _of_table(data), ""
        except ValueError as error:
            return "", f"cannot read '{what}': {error}"
    cut = len(data) > MAX_BYTES
    lines, broken = texts.lines(data[:MAX_BYTES], whole=not cut)
    said = [f"{broken} of {len(lines) + broken} lines, which are no UTF-8"] if broken else []
    said += [f"what is behind its first {MAX_BYTES} bytes"] if cut else []
    left_out = f"left out of '{what}': {' and '.join(said)}" if said else ""
    return listed(lines), left_out


def listed(captions: Any) -> str:
    """A caption or a list of them as lines; "" for anything else."""
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list | tuple):
        return ""
    words = (" ".join(text.split()) for text in captions if isinstance(text, str))
    return "\n".join(filter(None, words))


def _of_table(data: bytes) -> str:
    if len(data) > MAX_JSON:
        raise ValueError(f"it has more than {MAX_JSON} bytes")
    table = jsonfile.parse(data)
    name = key(table)
    return listed(table[name]) if name else ""


def key(table: Any) -> str | None:
    """The key of an object that has captions, if one has."""
    keys = {key.casefold(): key for key in table} if isinstance(table, Mapping) else {}
    return next((keys[key] for key in KEYS if key in keys), None)


def _has_captions(path: Path) -> bool:
    """Whether a file of JSON has a key for captions; one that is broken may be the only such."""
    try:
        return key(jsonfile.parse(places.content(path, size=jsonfile.SIZE))) is not None
    except (OSError, ValueError):
        return True
