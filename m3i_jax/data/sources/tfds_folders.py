"""Where data sets of TensorFlow Datasets lie, and whether they can be read without TensorFlow."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from m3i_jax import jsonfile
from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import urls
from m3i_jax.data.sources.protocol import listed

HOW = "reading data sets of TFDS needs tensorflow-datasets: pip install 'm3i_jax[tfds]'"
INFO, FEATURES = "dataset_info.json", "features.json"
VERSION = re.compile(r"\d+\.\d+\.\d+")
NAME = re.compile(r"(?P<name>[\w/+.-]+?)(?::(?P<version>\d+\.\d+\.\d+))?")
HOME = "~/tensorflow_datasets"


def library() -> Any:
    """tensorflow_datasets.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ConfigError(HOW) from error
    return tensorflow_datasets


def opened(root: str, data_dir: str | None) -> Any:
    """The builder of a data set that is prepared, which downloads nothing.

    root, data_dir: as for `tfds.tfds`.

    Raises:
      ConfigError: there is none, it is damaged, or of another format than ArrayRecord.
    """
    folder = found(root, data_dir)
    _require_format(folder)
    _require_known_features(folder)
    try:
        return library().builder_from_directory(str(folder))
    except Exception as error:  # what the library raises of damaged files
        raise ConfigError(f"'{folder}' cannot be read: {error}") from error


def files(builder: Any, split: str) -> tuple[Path, ...]:
    """The shards of a split, in order.

    Raises:
      ConfigError: one is missing.
    """
    paths = tuple(Path(os.fspath(path)) for path in builder.info.splits[split].filepaths)
    if missing := [path.name for path in paths if not path.is_file()]:
        raise ConfigError(f"'{builder.data_path}' lacks {listed(missing)} of {len(paths)} files")
    return paths


def found(root: str, data_dir: str | None) -> Path:
    """The folder of the newest version, or of the one that is named.

    Raises:
      ConfigError: there is none; what there is.
    """
    place = Path(urls.local(root))
    if place.is_dir():
        return _newest(place, None)
    home = Path(urls.local(data_dir or os.environ.get("TFDS_DATA_DIR") or HOME))
    match = NAME.fullmatch(root)
    folder = home / match["name"] if match and ".." not in root else place
    if not folder.is_dir():
        beside = [p.name for p in home.iterdir()] if home.is_dir() else []
        raise ConfigError(
            f"there is no data set '{root}' in '{home}'{nearest(root, beside) if beside else ''}; "
            "nothing is downloaded: prepare it with `tfds build NAME --file_format=array_record`, "
            "or say data.data_dir"
        )
    return _newest(folder, match["version"])


def _newest(folder: Path, version: str | None) -> Path:
    if (folder / INFO).is_file():
        return folder
    versions = {place.name: place for place in _versions(folder)}
    if version and version not in versions:
        raise ConfigError(f"'{folder}' has no version {version}; there are {listed(versions)}")
    if not versions:
        inside = [place.name for place in folder.iterdir() if place.is_dir()]
        raise ConfigError(
            f"'{folder}' has no folder of a version with '{INFO}'"
            + (f"; it has {listed(sorted(inside))}, name one of them" if inside else "")
        )
    newest = max(versions, key=lambda name: [*map(int, name.split("."))])
    return versions[version or newest]


def _versions(folder: Path) -> Iterator[Path]:
    for place in folder.iterdir():
        if VERSION.fullmatch(place.name) and (place / INFO).is_file():
            yield place


def _require_format(folder: Path) -> None:
    """Refuses what only TensorFlow reads."""
    said = _json(folder / INFO)
    form = said.get("fileFormat", "tfrecord") if isinstance(said, dict) else "tfrecord"
    if form != "array_record":
        raise ConfigError(
            f"'{folder}' was prepared as {form}, which cannot be read at random without "
            "TensorFlow: prepare it anew with `tfds build NAME --file_format=array_record`"
        )


def _require_known_features(folder: Path) -> None:
    """Refuses a file that names classes of others, which the library would import."""
    foreign, level = [], [_json(folder / FEATURES)]
    while level:
        one = level.pop()
        if isinstance(one, dict):
            name = one.get("pythonClassName", "tensorflow_datasets.")
            foreign += [] if str(name).startswith("tensorflow_datasets.") else [str(name)]
        level += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    if foreign:
        raise ConfigError(
            f"'{folder / FEATURES}' names {listed(foreign)}, which are no features of "
            "TensorFlow Datasets: nothing else is imported"
        )


def _json(place: Path) -> Any:
    try:
        return jsonfile.read(place)
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{place}' cannot be read: {error}") from error
