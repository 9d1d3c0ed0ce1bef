"""Data sets that Hugging Face's `datasets` saved to a disk, read at random without that library.

FOLDER/dataset_dict.json    FOLDER/train/state.json, dataset_info.json, data-00000-of-00002.arrow

The files are streams of Arrow's record batches, which are mapped into memory.
https://huggingface.co/docs/datasets/about_arrow  https://arrow.apache.org/docs/format/Columnar.html
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import folder_names, urls
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, decoder
from m3i_jax.data.sources.folder_names import ORDER
from m3i_jax.data.sources.packed import Packed, packed
from m3i_jax.data.sources.protocol import NoSplit, listed
from m3i_jax.data.sources.table_columns import Asked, Column, pyarrow
from m3i_jax.data.sources.table_records import Group, TableRecords, Tables
from m3i_jax.ranges import Count
from m3i_jax.texts import Filled

STATE, INFO = "state.json", "dataset_info.json"


def hf_dataset(
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
    """Images of a data set that Hugging Face's `datasets` wrote by `save_to_disk`.

    Needs pyarrow. Columns are chosen as in Parquet files, see `parquet`.

    Args:
      root: the folder of a DatasetDict, or of one Dataset, which is the training split.
      split: "train" or "test".
      classes: of the training split, which another split is labelled with by name; None looks
        for them there.
      image: the column of images; None takes the first, or `image`.
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
      ConfigError: files are missing or damaged, or have no such column.
    """
    pyarrow("data sets of Hugging Face")
    asked = Asked(image, label, caption, captions, annotations)
    folders = _splits(Path(urls.local(root)))
    return packed(
        "hf_dataset",
        lambda kind: _candidates(root, kind, folders),
        split=split,
        classes=classes,
        read=lambda folder: _records(folder, asked, names=names),
        decode=decoder(decode, orientation=orientation, max_pixels=max_pixels),
        turned=orientation and decode is None,
    )


def _candidates(root: str, kind: str, folders: Mapping[str, Path]) -> list[Path]:
    """The folders that may be a split."""
    if there := [folders[name] for name in ORDER[kind] if name in folders]:
        return there
    raise NoSplit(f"'{root}' has no {kind} split; there are {listed(sorted(folders))}")


def _splits(folder: Path) -> dict[str, Path]:
    """The folder of each split that is there.

    Raises:
      ConfigError: nothing was saved there, or the splits of it are called in an unknown way.
    """
    if (folder / STATE).is_file():
        return {"train": folder}
    if not folder.is_dir():
        beside = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ConfigError(f"there is no folder '{folder}'{nearest(folder.name, beside)}")
    splits = folder_names.splits(folder)
    splits = {kind: place for kind, place in splits.items() if (place / STATE).is_file()}
    if splits:
        return splits
    if any(folder.rglob("*.parquet")):
        raise ConfigError(f"'{folder}' has Parquet files: name=parquet reads them")
    raise ConfigError(
        f"'{folder}' is no data set that `save_to_disk` wrote: neither it nor train/ in it has a "
        f"'{STATE}'"
    )


class Mapped:
    """Files of Arrow's record batches, mapped into memory and looked through; see `Tables`."""

    def __init__(self, files: Sequence[Path], said: str | None):
        """said: the features, in JSON, for files whose own metadata has none."""
        self._made_of = (files, said)
        self._batches = [_batches(file) for file in files]
        self.schemas = [_with_features(one[0].schema, said) for one in self._batches]
        self.groups = [
            Group(number, inside, batch.num_rows)
            for number, batches in enumerate(self._batches)
            for inside, batch in enumerate(batches)
        ]

    def __reduce__(self) -> tuple:
        """A copy for another process maps the files itself."""
        return Mapped, self._made_of

    def __call__(self, group: Group, column: Column) -> Any:
        """A `pyarrow.ChunkedArray` of values that stay where they lie."""
        values = self._batches[group.file][group.inside].column(column.name)
        return pyarrow("a table").chunked_array([values])


def _records(folder: Path, asked: Asked, *, names: str | None) -> TableRecords:
    """The rows of a Dataset."""
    files = _files(folder)
    mapped = Mapped(files, _features(folder))
    tables = Tables(files, mapped.schemas, mapped.groups, mapped)
    return TableRecords(tables, asked, names=names)


def _files(folder: Path) -> list[Path]:
    """The files that `state.json` lists, in order."""
    place = folder / STATE
    try:
        names = [one["filename"] for one in jsonfile.read(place)["_data_files"]]
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{place}' cannot be read: {error}") from error
    except (KeyError, TypeError) as error:
        raise ConfigError(f"'{place}' does not say which files there are") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name:
            raise ConfigError(f"'{place}': '{name}' is no name of a file beside it")
        if not os.path.isfile(folder / name):  # False also of a name that no file can have
            raise ConfigError(f"'{folder}' lacks '{name}', one of {len(names)} files")
    if not names:
        raise ConfigError(f"'{place}' lists no files")
    return [folder / name for name in names]


def _features(folder: Path) -> str | None:
    """What `dataset_info.json` says of the columns, as the metadata of a schema has it."""
    try:
        return json.dumps({"info": {"features": jsonfile.read(folder / INFO)["features"]}})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _with_features(schema: Any, said: str | None) -> Any:
    there = schema.metadata or {}
    return schema if b"huggingface" in there or not said else schema.with_metadata(
        {**there, b"huggingface": said}
    )  # fmt: skip


def _batches(file: Path) -> list[Any]:
    """The record batches of a file, none of which points out of it.

    Raises:
      ConfigError: it is damaged.
    """
    pa = pyarrow("a table")
    try:
        os.close(ordinary.opened(file, os.O_RDONLY))
        with pa.ipc.open_stream(pa.memory_map(str(file))) as stream:
            batches = list(stream)
            batches = batches or [stream.schema.empty_table().to_batches()[0]]
        for batch in batches:
            batch.validate(full=True)
    except (OSError, ValueError, NotImplementedError, MemoryError, KeyError, IndexError) as met:
        why = str(met).splitlines()[0] if str(met) else type(met).__name__
        raise ConfigError(f"'{file}' is no sound Arrow stream: {why}") from met
    return batches
