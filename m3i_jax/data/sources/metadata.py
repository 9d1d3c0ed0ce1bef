"""What Hugging Face's image folders say of their images: metadata.csv and metadata.jsonl.

    file_name,label,text            {"file_name": "a.png", "label": "cat", "text": "a cat"}
    a.png,cat,a cat                 {"file_name": "sub/b.png", "label": "dog", "text": ["a dog"]}

`file_name` is a path from the folder of the file. https://huggingface.co/docs/datasets/image_dataset
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax import jsonfile
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import caption_files, label_lists, texts
from m3i_jax.data.sources.folder_names import same
from m3i_jax.ranges import shown

STEM = "metadata"
READ = (".csv", ".jsonl")
UNREAD = (".parquet", ".json", ".tsv", ".xlsx")
NAME = "file_name"
HINT = f"a table of captions is read where it is called metadata.csv, with '{NAME}' and 'text'"
MAX_BYTES = 256 * 2**20  # lines for some millions of images


class Metadata(NamedTuple):
    """What files say of images: classes and captions by path.

    files: that said some of it.  notes: sentences on them, and on what is not read.
    """

    labels: dict[Path, str]
    captions: dict[Path, str]
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def is_one(name: str) -> bool:
    """Whether a file is called as one of these."""
    path = Path(name.casefold())
    return path.stem == STEM and path.suffix in (*READ, *UNREAD)


def read(files: Sequence[Path], images: Sequence[Path]) -> Metadata:
    """What `files` say of `images`; what cannot be told from them is in the notes.

    Raises:
      ConfigError: one is no text, no table, or no JSON.
    """
    known = {same(image.as_posix()): image for image in images} if files else {}
    merged = Metadata({}, {}, (), ())
    for file in files:
        one = _one(file, known)
        labels, captions = merged.labels | one.labels, one.captions | merged.captions
        merged = Metadata(labels, captions, merged.files + one.files, merged.notes + one.notes)
    return merged


def _one(file: Path, known: Mapping[str, Path]) -> Metadata:
    """What one file says."""
    if file.suffix.casefold() in UNREAD:
        return _silent(f"'{file}' is not read: save it as metadata.csv or metadata.jsonl")
    rows = list(_csv(file) if file.suffix.casefold() == ".csv" else _json(file))
    columns = list(dict.fromkeys(key for row in rows for key in row if key))
    name = next((c for c in columns if re.fullmatch(rf"(.*_)?{NAME}", c.casefold())), None)
    if name is None:
        return _silent(f"'{file}' is not read: it has no '{NAME}', which says of which image it is")
    about: dict[Path, list[dict]] = {}
    for row in rows:
        where = file.parent / label_lists.slashed(str(row.get(name)))
        if image := known.get(same(where.as_posix())):
            about.setdefault(image, []).append(row)
    labels, doubt = _labels(about, [c for c in columns if label_lists.is_class(c)])
    captions = {image: text for image, own in about.items() if (text := _captions(own, columns))}
    said = [f"{len(labels)} classes"] * bool(labels) + [f"{len(captions)} captions"] * bool(
        captions
    )
    strange = len(rows) - sum(map(len, about.values()))
    note = f"'{file}' gives {' and '.join(said) or 'neither classes nor captions'}" + doubt
    note += f"; {strange} of its {len(rows)} lines name no image here" if strange else ""
    return Metadata(labels, captions, (file,) if said else (), (note,))


def _silent(why: str) -> Metadata:
    return Metadata({}, {}, (), (why,))


def _labels(
    about: Mapping[Path, Sequence[Mapping]], columns: Sequence[str]
) -> tuple[dict[Path, str], str]:
    """The class of each image that has one, and why there are none where that is not clear."""
    said = {
        column: {
            image: {_cell(row.get(column)) for row in own} - {""} for image, own in about.items()
        }
        for column in columns
    }  # fmt: skip
    said = {column: cells for column, cells in said.items() if any(cells.values())}
    exact = {column: cells for column, cells in said.items() if column.casefold() == "label"}
    best, *others = (exact or said).values() or ({},)
    if any(other != best for other in others):
        return {}, f", and leaves open which of {', '.join(said)} is the class: call one 'label'"
    if twice := next((image for image, cells in best.items() if len(cells) > 1), None):
        return {}, f", and no classes, as '{twice}' has {len(best[twice])}"
    return {image: label for image, (label,) in ((i, c) for i, c in best.items() if c)}, ""


def _cell(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) else ""


def _captions(rows: Sequence[Mapping], columns: Sequence[str]) -> str:
    """The captions of an image, one a line, from the first of the columns that has some."""
    named = {column.casefold(): column for column in columns}
    for column in (named[key] for key in caption_files.KEYS if key in named):
        if text := "\n".join(filter(None, (caption_files.listed(r.get(column)) for r in rows))):
            return text
    return ""


def _csv(file: Path) -> Iterator[dict[str, Any]]:
    """Cells by the names of columns of each line."""
    try:
        yield from csv.DictReader(io.StringIO(_text(file), newline=""), skipinitialspace=True)
    except csv.Error as error:
        raise ConfigError(f"'{file}' is no table: {error}") from error


def _json(file: Path) -> Iterator[dict[str, Any]]:
    """The object of each line."""
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = jsonfile.parse(line)
        except ValueError as error:
            raise ConfigError(f"'{file}' has no JSON in its line {number}: {error}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"'{file}' has {shown(row)} in its line {number}, expected an object")
        yield row


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(f"'{file}' has more than {MAX_BYTES} bytes")
    except OSError as error:
        raise ConfigError(f"cannot read '{file}': {error.strerror}") from error
    return texts.read(file)
