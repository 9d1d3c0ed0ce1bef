"""Features in a file for others: NumPy's npz or parquet, with the names of the images."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from m3i_jax import ordinary
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import storage
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import FeatureSet

ENDINGS = (".npz", ".parquet")
ROWS = 4096  # in memory at once


def check(path: str | Path) -> None:
    """Refuses a file that nothing here can write, before anything is encoded.

    Raises:
      ConfigError: another ending, something that is no file, or parquet without pyarrow.
    """
    if Path(path).suffix not in ENDINGS:
        raise ConfigError(f"--out is '{path}', expected a file that ends in .npz or .parquet")
    for there in (Path(path), _partial(path)):  # a pipe would be waited for
        if there.exists() and not there.is_file():
            raise ConfigError(f"'{there}' is no ordinary file, and --out would take its place")
    if Path(path).suffix == ".parquet":
        _pyarrow()


def _partial(path: str | Path) -> Path:
    """Where a file is written before it gets its name."""
    return Path(path).with_name(Path(path).name + ".partial")


def write(path: str | Path, evaluation: Evaluation, split: str, **kind: Any) -> FeatureSet:
    """Writes the features of a split, rows in the order of the records; returns what they are.

    An npz has `features` (N, D) float32, `labels` (N,) int32, -1 = none, `names` (N,) and
    `classes` (K,) texts; a parquet file a row for each image: name, label, class and features.
    Records that cannot be read have no row. A crash leaves no half of a file. Of several processes,
    which all have the features, the first writes them.

    kind: of features, their `pool` and `blocks`.

    Raises:
      ConfigError: see `check`.
      Unwritable: the disk is full or read-only.
    """
    path = Path(path)
    check(path)
    features, source = evaluation.features(split, **kind), evaluation.source(split)
    if jax.process_index():
        return features
    named = getattr(source, "where", None) or "record {}".format
    names = [named(int(i)) for i in features.index]
    partial = _partial(path)
    with storage.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if path.suffix == ".npz":
                _npz(partial, features, names, evaluation.classes)
            else:
                said = {
                    "model": evaluation.model.name,
                    "data": evaluation.data.name,
                    "split": split,
                }
                _parquet(
                    partial, features, names, evaluation.classes, said | evaluation.settings | kind
                )
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return features


def _npz(path: Path, features: FeatureSet, names: list[str], classes: tuple[str, ...]) -> None:
    """Arrays by name; those that lie on disk pass through memory in parts."""
    columns = dict(features=features.features, labels=features.labels)
    columns |= dict(names=np.array(names, np.str_), classes=np.array(classes, np.str_))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(ordinary.opened(path, flags), "wb") as file:  # a path would get another ending
        np.savez(file, **columns)


def _parquet(path: Path, features: FeatureSet, names: list[str], classes, said) -> None:
    """A row for each image, some thousand at a time."""
    pa = _pyarrow()
    width = int(np.prod(features.features.shape[1:]))
    fields = [("name", pa.string()), ("label", pa.int32()), ("class", pa.string())]
    fields.append(("features", pa.list_(pa.float32(), width)))
    schema = pa.schema(fields, metadata={k: str(v) for k, v in said.items()})
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with (
        open(ordinary.opened(path, flags), "wb") as file,
        pa.parquet.ParquetWriter(file, schema) as writer,
    ):
        for part in _parts(len(names)):
            flat = pa.array(np.asarray(features.features[part], np.float32).reshape(-1))
            labels = features.labels[part]
            words = [classes[label] if label >= 0 else None for label in labels]
            rows = [names[part], labels, words, pa.FixedSizeListArray.from_arrays(flat, width)]
            writer.write_table(
                pa.Table.from_arrays([*map(pa.array, rows[:3]), rows[3]], schema=schema)
            )


def _parts(count: int) -> Iterator[slice]:
    return (slice(i, i + ROWS) for i in range(0, count, ROWS))


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            "a parquet file needs pyarrow: pip install pyarrow, or write an .npz"
        ) from error
    return pyarrow
