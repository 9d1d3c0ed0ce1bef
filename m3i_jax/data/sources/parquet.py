"""Parquet files of encoded images, as Hugging Face's data sets have them, read at random.

What Parquet decodes at once is a row group, so a few of them are kept.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import contents, shards
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, decoder
from m3i_jax.data.sources.inside import Inside
from m3i_jax.data.sources.packed import Packed, packed
from m3i_jax.data.sources.table_columns import Asked, Column, pyarrow
from m3i_jax.data.sources.table_records import Group, TableRecords, Tables
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
    annotations: bool = True,
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
        {00000..00099}, {train,test}, * or ?; or a URL of these. What
        splits are called stands in the names.
      split: "train" or "test".
      classes: of the training split, which another split is labelled with by name; None looks
        for them there.
      image: the column of bytes, or of structs with `bytes`; None takes the first, or `image`.
      label: the column of numbers or names of classes; None looks for `label`, `class`, ...
      caption: the column of texts, or of lists of them; None looks for `caption`, `text`, ...
      captions: whether there are any to read.
      annotations: whether columns are read that are called `mask`, `depth`, `bbox`, `keypoints`, or
        as `annotation_forms` has it.
      names: a file with the name of class n in its line n, for numbers that have none.
      orientation: turns photographs upright by their EXIF tag.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: files are missing or no Parquet, or have no such column.
    """
    pyarrow("Parquet files")
    asked = Asked(image, label, caption, captions, annotations)
    return packed(
        "parquet",
        lambda kind: shards.candidates(root, kind, (".parquet",)),
        split=split,
        classes=classes,
        read=lambda files: parquet_records(files, asked, names=names),
        decode=decoder(decode, orientation=orientation, max_pixels=max_pixels),
        turned=orientation and decode is None,
    )


def parquet_records(files: Sequence[Path], asked: Asked, *, names: str | None) -> TableRecords:
    """The rows of Parquet files, of which one at a time is open."""
    footers = [_footer(file) for file in files]
    groups = [
        Group(number, inside, footer.row_group(inside).num_rows)
        for number, footer in enumerate(footers)
        for inside in range(footer.num_row_groups)
    ]
    schemas = [_schema(file, footer) for file, footer in zip(files, footers, strict=True)]
    read = Read(tuple(files), tuple(footers))
    records = TableRecords(Tables(files, schemas, groups, read), asked, names=names)
    sizes = [footers[g.file].row_group(g.inside).total_byte_size for g in groups]
    records.notes += (_large(max(sizes)),) if max(sizes) > LARGE else ()
    return records


class Read(NamedTuple):
    """Reads a column of a row group, see `Tables`; checks the sums of its pages."""

    files: tuple[Path, ...]
    footers: tuple[Any, ...]

    def __call__(self, group: Group, column: Column) -> Any:
        """A `pyarrow.ChunkedArray`."""
        from pyarrow import parquet as library

        name = f"{column.name}.bytes" if column.packed else column.name
        file, known = self.files[group.file], dict(metadata=self.footers[group.file])
        with (
            _sound(file, ValueError),
            _opened(file) as stream,
            library.ParquetFile(stream, **known, **CHECKED) as opened,
        ):
            rows = opened.read_row_group(group.inside, columns=[name], use_threads=False)
        return rows.column(0)


def _opened(file: Path | Inside) -> Any:
    """What Arrow opens: a path, or a stream, of which whole column chunks are asked for at once."""
    return contextlib.nullcontext(file) if isinstance(file, Path) else contents.stream(file)


def _large(size: int) -> str:
    """What row groups of many images cost."""
    return (
        f"row groups have up to {size / 2**20:.0f} MiB, all of which are read for one that is "
        "looked for; written with fewer rows in each they are read faster"
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

    with _sound(file, ConfigError), _opened(file) as stream:
        return library.read_metadata(stream)


def _schema(file: Path, footer: Any) -> Any:
    with _sound(file, ConfigError):
        return footer.schema.to_arrow_schema()
