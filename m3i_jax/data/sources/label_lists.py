"""Which cells of a list name an image and which its class.

A list is a table, its columns parted by tabs, commas, semicolons, bars, colons (also those of
Chinese and Japanese keyboards), arrows or spaces, with quotes as spreadsheets set them. The column
of images is the one in which most of them are found. That of the classes is told by a first line
with names of columns, or by what is in it: the only one that has names of classes and nothing
else, or the only one that is not of numbers. What is left open by both is refused.
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.folder_names import same
from m3i_jax.data.sources.protocol import listed
from m3i_jax.data.sources.split_words import split_of
from m3i_jax.ranges import shown

# Names of columns, without case, spaces and underscores.
NAMED = frozenset(
    "file filename filenames filepath filepaths fname path image images imagename imagefile "
    "imagefilename imagepath img imgname imgpath name picture photo datei bild fichier".split()
)
COUNTED = frozenset("id imageid imgid".split())  # an image where nothing better names it
CLASSES = frozenset(
    "label labels labelname labelid class classes classname classid category categoryname "
    "categoryid target species breed tag wnid synset synsetid groundtruth gt truth diagnosis "
    "predictionstring klasse classe clase".split()
)
MARKS = "\t,;|:=，；：、｜＝"
ARROW = re.compile(r"[ \t]*(?:[-=]+>|[→⇒⟶])[ \t]*")
PROBED = 50  # lines that show which marks a list has
MOST_WORDS = 24  # of a name with spaces
_WORD = re.compile(r'"[^"]*"|\S+')
_BEGINS = re.compile(r"[\"']?(\S*?\.[A-Za-z]{3,4})(?![A-Za-z])\W*\w")
_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)


class _Table(NamedTuple):
    """Cells of each line, the names of columns without case, the column of images and its hits."""

    rows: list[list[str]]
    header: list[str]
    name: int
    hits: int


def pairs(
    text: str, stems: Collection[str], path: Path, *, meant: Callable[[str], str | None]
) -> list[tuple[str, str]]:
    """(image's name, class) of each line that has both, as they are written.

    Args:
      text: the list.   path: where it is from, for messages.
      stems: names of the images, without their suffixes.
      meant: the class of training that a cell means, if any.

    Raises:
      ConfigError: it is open which column has the classes.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    said = re.fullmatch(r"sep=(.)", lines[0].strip()) if lines else None  # Excel's own first line
    marks = [said[1]] if said else [m for m in MARKS if any(m in line for line in lines[:PROBED])]
    tables = [_examined(_cells(text, mark, path), stems) for mark in marks]
    if any(ARROW.search(line) for line in lines[:PROBED]):
        tables.append(_examined(_cells(ARROW.sub("\t", text), "\t", path), stems))
    tables.append(_examined([_spaced(line, stems) for line in lines], stems))
    best = max(tables, key=lambda table: table.hits)
    if not best.hits:
        _refuse_unread(lines, stems, path)
        return []
    if best is tables[-1]:
        best = _in_columns(best, lines, stems, meant)
    return _pairs(best, stems, path, meant)


def _refuse_unread(lines: Sequence[str], stems: Collection[str], path: Path) -> None:
    """Refuses a list whose lines begin with images, parted from the rest in a way that is none."""
    for number, line in enumerate(lines, 1):
        named = _BEGINS.match(line)
        if named and stem(named[1], stems) in stems:
            raise ConfigError(
                f"'{path}' has the line {number}, {shown(line[:60])}, which names an image, but "
                "what its class is parted by cannot be told; expected are lines of NAME,CLASS, or "
                "with a tab or a space in place of the comma"
            )


def is_class(title: str) -> bool:
    """Whether a column of this name has classes."""
    return _plain(title) in CLASSES


def _plain(title: str) -> str:
    return re.sub(r"[\W_]+", "", title.casefold())


def stem(name: str, stems: Collection[str]) -> str:
    """`val/NAME.JPEG` -> NAME, and NAME -> NAME, whatever dots it has."""
    last = slashed(name).rpartition("/")[2]
    front, _, suffix = last.rpartition(".")
    return front if last not in stems and front and suffix.isalnum() else last


def slashed(name: str) -> str:
    """A path as it is written here, without quotes around it."""
    return name.strip("\"' ").replace("\\", "/")


def _cells(text: str, mark: str, path: Path) -> list[list[str]]:
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True)
        return [[cell.strip() for cell in row] for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise ConfigError(f"'{path}' is no list of labels: {error}") from error


def _spaced(line: str, stems: Collection[str]) -> list[str]:
    """An image's name, which may have spaces where it is known, and the rest of the line."""
    ends = [word.end() for word in _WORD.finditer(line)][:-1]
    names = [line[:end].strip() for end in ends[1:MOST_WORDS]]
    known = [name for name in names if stem(name, stems) in stems]
    first = known[-1] if known else line[: ends[0]].strip() if ends else line.strip()
    return [first.strip('"'), line.strip()[len(first) :].strip()]


def _examined(rows: list[list[str]], stems: Collection[str]) -> _Table:
    """Which column has the images: most full names, then by its own name, then most stems."""
    header = [_plain(cell) for cell in rows[0]] if rows else []
    if not set(header) & (NAMED | COUNTED | CLASSES) or any(
        stem(c, stems) in stems for c in rows[0]
    ):
        header = []

    def fit(column: int) -> tuple[int, int, int]:
        cells = [row[column] for row in rows if column < len(row)]
        named = [cell for cell in cells if stem(cell, stems) in stems]
        title = header[column] if column < len(header) else ""
        full = sum(slashed(cell).rpartition("/")[2] not in stems for cell in named)
        return full, (title in NAMED) - (title in COUNTED), len(named)

    width = max(map(len, rows), default=0)
    fits = [fit(column) for column in range(width)]
    columns = [column for column in range(width) if fits[column][2]]
    name = max(columns, key=lambda column: (*fits[column], -column), default=0)
    return _Table(rows[1:] if header else rows, header, name, fits[name][2] if fits else 0)


def _in_columns(
    table: _Table, lines: Sequence[str], stems: Collection[str], meant: Callable
) -> _Table:
    """A list parted by spaces as a table of words, where the class is not what follows the name."""
    words = [[word.strip('"') for word in _WORD.findall(line)] for line in lines]
    if len({len(row) for row in words}) != 1 or len(words[0]) < 3:
        return table
    apart = _examined(words, stems)
    rests = [row[1].split() or [""] for row in table.rows if stem(row[0], stems) in stems]
    numbers = [rest[0] for rest in rests if _NUMBER.fullmatch(rest[0]) and not meant(rest[0])]
    return apart if apart.hits and (apart.header or len(numbers) == len(rests)) else table


def _pairs(
    table: _Table, stems: Collection[str], path: Path, meant: Callable
) -> list[tuple[str, str]]:
    """The rows with a class, the split in front of a name where a column has it."""
    width = max(map(len, table.rows))
    rows = [row + [""] * (width - len(row)) for row in table.rows]
    others = [
        column for column in range(width) if column != table.name and any(r[column] for r in rows)
    ]
    split = next((c for c in others if len(others) > 1 and _splits(table, c)), None)
    others = [column for column in others if column != split]
    if not others:
        return []
    about = [row for row in rows if stem(row[table.name], stems) in stems]
    whole = [_unquoted(row, table.name, meant) for row in about]
    if len(others) > 1 and all(whole):
        cells = [_unquoted(row, table.name, meant) or "" for row in rows]
    else:
        column = others[0] if len(others) == 1 else _of_classes(table, about, others, path, meant)
        cells = [row[column] for row in rows]
    names = [slashed(row[table.name]) for row in rows]
    if split is not None:
        names = [f"{row[split]}/{name}" for row, name in zip(rows, names, strict=True)]
    return [(name, cell) for name, cell in zip(names, cells, strict=True) if cell]


def _unquoted(row: Sequence[str], name: int, meant: Callable) -> str | None:
    """A class with commas in its name, which nobody has quoted."""
    cells = [cell for cell in row[name + 1 :] if cell]
    texts = (mark.join(cells) for mark in (", ", ","))
    return next((text for text in texts if same(meant(text) or "") == text), None)


def _splits(table: _Table, column: int) -> bool:
    """Whether a column says of which split a row is."""
    title = table.header[column] if column < len(table.header) else ""
    cells = {row[column] for row in table.rows if column < len(row)} - {""}
    return title not in CLASSES and bool(cells) and all(map(split_of, cells))


def _of_classes(
    table: _Table, rows: list[list[str]], others: Sequence[int], path: Path, meant: Callable
) -> int:
    """The column of the classes of several."""

    def cells(column: int) -> list[str]:
        return [row[column] for row in rows if row[column]]

    known = [c for c in others if cells(c) and all(map(meant, cells(c)))]
    words = [c for c in others if not all(map(_NUMBER.fullmatch, cells(c)))]
    titled = [c for c in others if c < len(table.header) and table.header[c] in CLASSES]
    usable = [c for c in titled if c in known or c in words]
    for few in (
        usable,
        [c for c in usable if c in known],
        [] if usable else known,
        titled,
        [] if titled else [c for c in others if any(map(meant, cells(c)))],
        [] if titled else words,
    ):
        if len(few) == 1:
            return few[0]
    if few := [c for c in usable if c in known]:  # two that say the same are one
        if all(cells(c) == cells(few[0]) for c in few):
            return few[0]
    names = listed(table.header[c] or f"column {c + 1}" for c in others if c < len(table.header))
    raise ConfigError(
        f"'{path}' has {len(others)} columns beside that of the images"
        + (f" ({names})" if names else "")
        + ", and leaves open which of them is the class; call one 'label' in the first line, or "
        "keep NAME and CLASS alone"
    )
