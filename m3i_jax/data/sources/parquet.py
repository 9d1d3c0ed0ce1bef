"""Parquet files of encoded images, as Hugging Face's data sets have them, read at random.

What Parquet decodes at once is a row group, so a few of them are kept.
"""

import contextlib
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import caption_files, table_columns
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, bounded, decoder
from m3i_jax.data.sources.packed import Encoded, Packed, packed
from m3i_jax.data.sources.row_groups import Kept
from m3i_jax.data.sources.table_columns import Asked, pyarrow
from m3i_jax.ranges import Count
from m3i_jax.texts import Filled

CHECKED = dict(page_checksum_verification=True)
LARGE = 2**25  # bytes of images of a row group above which reading at random is slow, and said


def parquet(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    image: Filled | None = None,
    label: Filled | None = None,
    caption: Filled | None = None,
    captions: bool = True,
    names: Filled | None = None,
    orientation: bool = False,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> Packed:
    """Images in Parquet files: a column of their bytes, and of classes and captions beside it.

    As Hugging Face's data sets have them: `data/train-00000-of-00005.parquet`, the column `image`
    a struct of bytes and path, `label` a number whose name the metadata says. Needs pyarrow.

    Args:
      root: a folder of such files, or of folders of them for each split; or a pattern of them with
        {00000..00099}, {train,test}, * or ?. What splits are called stands in the names.
      split: "train" or "test".
      classes: of the training split, which another split is labelled with by name; None looks
        for them there.
      image: the column of bytes, or of structs with `bytes`; None takes the first, or `image`.
      label: the column of numbers or names of classes; None looks for `label`, `class`, ...
      caption: the column of texts, or of lists of them; None looks for `caption`, `text`, ...
      captions: whether there are any to read.
      names: a file with the name of class n in its line n, for numbers that have none.
      orientation: turns photographs upright by their EXIF tag.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: files are missing or no Parquet, or have no such column.
    """
    pyarrow("Parquet files")
    asked = Asked(image, label, caption, captions)
    return packed(
        "parquet",
        root,
        suffixes=(".parquet",),
        split=split,
        classes=classes,
        read=lambda files: ParquetRecords(files, asked, names=names),
        decode=decoder(decode, orientation=orientation, max_pixels=max_pixels),
        turned=orientation and decode is None,
    )


class ParquetRecords:
    """The rows of Parquet files; see `packed.Records`. Reading opens one file at a time."""

    warnings: tuple[str, ...] = ()

    def __init__(self, files: Sequence[Path], asked: Asked, *, names: str | None):
        """Of these files, whose footers and labels are read."""
        self.files = tuple(files)
        self._footers = [_footer(file) for file in files]
        self._columns = _columns(files, self._footers, asked)
        groups = [
            (n, g) for n, foot in enumerate(self._footers) for g in range(foot.num_row_groups)
        ]
        rows = [self._footers[n].row_group(g).num_rows for n, g in groups]
        self._groups, self._ends = groups, np.cumsum([0, *rows])
        if not len(self):
            raise ConfigError(f"no rows in the Parquet files of '{files[0].parent}'")
        labels = self._labels(names)
        self.codes, self.names = labels.codes, labels.names
        self.notes = tuple(filter(None, (labels.note, self._read_as(), self._large())))
        self._images, self._texts = Kept(self._image_part), Kept(self._text_part)

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self._ends[-1])

    def read(self, index: int) -> Encoded:
        """Reads a row, and keeps its row group for a while."""
        group, row = self._place(index)
        image = self._images[group][row].as_py()
        caption = self._texts[group][row].as_py() if self._columns.caption else None
        record = table_columns.encoded(image, caption)
        bounded(len(record.image))
        return record

    def captions(self) -> Iterator[str]:
        """Those of all rows, row group by row group."""
        if not self._columns.caption:
            return itertools.repeat("", len(self))
        parts = (self._text_part(group)[0] for group in range(len(self._groups)))
        return (caption_files.listed(text.as_py()) for part in parts for text in part)

    def where(self, index: int) -> str:
        """The file and the row in it."""
        group, row = self._place(index)
        number, inside = self._groups[group]
        return (
            f"{self.files[number]}: row {int(self._ends[group] - self._ends[group - inside]) + row}"
        )

    def digest(self) -> str:
        """Of the columns, the row groups and the labels."""
        labels = hashlib.sha256(np.ascontiguousarray(self.codes)).hexdigest()
        return f"{self._columns} {self._ends.tolist()} {labels}"

    def _place(self, index: int) -> tuple[int, int]:
        """The row group of a row, and which of its rows it is."""
        group = int(np.searchsorted(self._ends, index, side="right")) - 1
        return group, index - int(self._ends[group])

    def _column(self, group: int, column: str) -> Any:
        """A column of a row group as a `pyarrow.ChunkedArray`."""
        from pyarrow import parquet as library

        number, inside = self._groups[group]
        file, known = self.files[number], CHECKED | {"metadata": self._footers[number]}
        with _sound(file, ValueError), library.ParquetFile(file, **known) as opened:
            return opened.read_row_group(inside, columns=[column], use_threads=False).column(0)

    def _image_part(self, group: int) -> tuple[Any, int]:
        """The images of a row group and how many bytes they have."""
        name = self._columns.image
        column = self._column(group, f"{name}.bytes" if self._columns.packed else name)
        return column, column.nbytes

    def _text_part(self, group: int) -> tuple[Any, int]:
        """The captions of a row group and how many bytes they have."""
        column = self._column(group, self._columns.caption)
        return column, column.nbytes

    def _labels(self, names: str | None) -> table_columns.Labels:
        """The classes of all rows."""
        what = f"'{self.files[0].parent}'"
        if not (label := self._columns.label):
            return table_columns.Labels(np.broadcast_to(np.int32(-1), len(self)), ())
        parts = [self._column(group, label) for group in range(len(self._groups))]
        column = pyarrow(what).chunked_array([chunk for part in parts for chunk in part.chunks])
        folder = self.files[0].parent
        return table_columns.labels(column, self._columns.names, folder, names, what=what)

    def _read_as(self) -> str:
        """Which columns are read."""
        kinds = ("image", "label", "caption")
        read = [(kind, getattr(self._columns, kind)) for kind in kinds]
        return "columns: " + ", ".join(f"{kind} '{name}'" for kind, name in read if name)

    def _large(self) -> str:
        """What row groups of many images cost; "" of small ones."""
        groups = (self._footers[number].row_group(inside) for number, inside in self._groups)
        largest = max(group.total_byte_size for group in groups)
        if largest <= LARGE:
            return ""
        return (
            f"row groups have up to {largest / 2**20:.0f} MiB, all of which are read for "
            "one that is looked for; written with fewer rows in each they are read faster"
        )


@contextlib.contextmanager
def _sound(file: Path, error: type[Exception]) -> Iterator[None]:
    """Inside, what Arrow finds wrong with a file is said as `error`: damaged sizes are no lack of
    memory."""
    try:
        yield
    except (OSError, ValueError, NotImplementedError, MemoryError) as met:
        why = str(met).splitlines()[0] if str(met) else type(met).__name__
        raise error(f"'{file}' is no sound Parquet file: {why}") from met


def _footer(file: Path) -> Any:
    """What the end of a file says of it."""
    from pyarrow import parquet as library

    with _sound(file, ConfigError):
        return library.read_metadata(file)


def _columns(files: Sequence[Path], footers: Sequence[Any], asked: Asked) -> table_columns.Columns:
    """The columns that are read, which all files have."""
    columns = None
    for file, footer in zip(files, footers, strict=True):
        with _sound(file, ConfigError):
            schema = footer.schema.to_arrow_schema()
        own = table_columns.chosen(schema, asked, what=f"'{file}'")
        if own != (columns := columns or own):
            raise ConfigError(f"'{file}' has other columns than '{files[0]}': {own}, not {columns}")
    return columns
