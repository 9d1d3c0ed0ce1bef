"""The rows of tables as records: images, classes, captions and annotations in columns.

What a container reads at once is a group of rows; a few of them are kept.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import caption_files, table_columns
from m3i_jax.data.sources.decoding import bounded
from m3i_jax.data.sources.packed import Encoded
from m3i_jax.data.sources.row_groups import Kept
from m3i_jax.data.sources.table_columns import Asked, Column


class Group(NamedTuple):
    """Rows that are read at once: the number of their file, which group of it they are, and how
    many."""

    file: int
    inside: int
    rows: int


class Tables(NamedTuple):
    """What is in the files of a split.

    schemas: a `pyarrow.Schema` of each file.   groups: in order of the rows.
    column: of a group, a `pyarrow.ChunkedArray` of its values.
    """

    files: Sequence[Path]
    schemas: Sequence[Any]
    groups: Sequence[Group]
    column: Callable[[Group, Column], Any]


class TableRecords:
    """The rows of tables; see `packed.Records`."""

    warnings: tuple[str, ...] = ()

    def __init__(self, tables: Tables, asked: Asked, *, names: str | None):
        """Of these tables, whose labels are read.

        names: a file with names for classes that are numbers, see `naming.called`.
        """
        self.files, self._tables = tuple(tables.files), tables
        self._columns = _columns(tables, asked)
        self._ends = np.cumsum([0, *(group.rows for group in tables.groups)])
        if (least := min((group.rows for group in tables.groups), default=0)) < 0:
            raise ConfigError(
                f"'{self.files[0].parent}' is damaged: it has a group of {least} rows"
            )
        if not len(self):
            raise ConfigError(f"no rows in the files of '{self.files[0].parent}'")
        labels = self._labels(names, asked=asked.label is not None)
        self.codes, self.names = labels.codes, labels.names
        self.notes = tuple(filter(None, (labels.note, self._columns.said())))
        self._kept, self._texts = Kept(self._part), Kept(self._part)

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self._ends[-1])

    def read(self, index: int) -> Encoded:
        """Reads a row, and keeps its group for a while."""
        columns, (group, row) = self._columns, self._place(index)
        value = lambda column: table_columns.value(self._kept[group, column][row])  # noqa: E731
        image = table_columns.image_bytes(value(columns.image))
        bounded(len(image))
        said = table_columns.annotations({column: value(column) for column in columns.annotations})
        caption = self._texts[group, columns.caption][row].as_py() if columns.caption.name else None
        return Encoded(image, caption_files.listed(caption), annotations=said)

    def captions(self) -> Iterator[str]:
        """Those of all rows, group by group; of one that is damaged there are none."""
        if not self._columns.caption.name:
            return itertools.repeat("", len(self))
        return (text for group in self._tables.groups for text in self._captions(group))

    def _captions(self, group: Group) -> list[str]:
        try:
            column = self._read(group, self._columns.caption)
            return [caption_files.listed(text.as_py()) for text in column]
        except ValueError:
            return [""] * group.rows

    def where(self, index: int) -> str:
        """The file and the row in it."""
        number, row = self._place(index)
        group = self._tables.groups[number]
        first = self._ends[number - group.inside]
        return f"{self.files[group.file]}: row {int(self._ends[number] - first) + row}"

    def digest(self) -> str:
        """Of the columns, the groups and the labels."""
        labels = hashlib.sha256(np.ascontiguousarray(self.codes)).hexdigest()
        return f"{self._columns} {self._ends.tolist()} {labels}"

    def _place(self, index: int) -> tuple[int, int]:
        """The group of a row, and which of its rows it is."""
        number = int(np.searchsorted(self._ends, index, side="right")) - 1
        return number, index - int(self._ends[number])

    def _part(self, key: tuple[int, Column]) -> tuple[Any, int]:
        """A column of a group and how many bytes it has."""
        column = self._read(self._tables.groups[key[0]], key[1])
        return column, column.nbytes

    def _read(self, group: Group, column: Column) -> Any:
        """A column of a group, which has a value for each row."""
        values = self._tables.column(group, column)
        if len(values) != group.rows:
            raise ValueError(f"'{column.name}' has {len(values)} values in {group.rows} rows")
        return values

    def _labels(self, names: str | None, *, asked: bool) -> table_columns.Labels:
        """The classes of all rows."""
        folder = self.files[0].parent
        label = self._columns.label
        if not label.name:
            return table_columns.Labels(np.broadcast_to(np.int32(-1), len(self)), ())
        try:
            parts = [self._read(group, label) for group in self._tables.groups]
        except ValueError as error:
            raise ConfigError(f"the labels of '{folder}' cannot be read: {error}") from error
        chunks = [chunk for part in parts for chunk in part.chunks]
        column = table_columns.pyarrow("a table").chunked_array(chunks)
        said = dict(what=f"'{folder}'", asked=asked)
        return table_columns.labels(column, self._columns.names, folder, names, **said)


def _columns(tables: Tables, asked: Asked) -> table_columns.Columns:
    """The columns that are read, which all files have.

    Raises:
      ConfigError: one has other columns.
    """
    columns = None
    for file, schema in zip(tables.files, tables.schemas, strict=True):
        own = table_columns.chosen(schema, asked, what=f"'{file}'")
        if own != (columns := columns or own):
            first = tables.files[0]
            raise ConfigError(f"'{file}' has other columns than '{first}': {own}, not {columns}")
    return columns
