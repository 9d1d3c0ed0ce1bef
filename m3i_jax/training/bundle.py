"""A step that was left out, as a small file: all that makes its batch again, see `replay`.

    <workdir>/skipped/step-00000037.json

The batch itself is not in it: it is a function of the seed and of its place in the stream.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax import jsonfile
from m3i_jax.build import ConfigError, nearest
from m3i_jax.checkpoints import storage
from m3i_jax.training.log import spelled, unspelled

FOLDER, FORMAT = "skipped", 1
KEPT = 20  # of a work directory, the newest


class Bundle(NamedTuple):
    """A step that was left out.

    step: as the log counts it, from 1.  why: the end of a sentence.
    seed: of the run.  records: row by row the number of a record of the training split.
    position: of the data behind its batch.  fingerprint: of the data, see `data.fingerprint`.
    config: of the run.  metrics: loss, norm and what else the step said.  versions: of what ran it.
    """

    step: int
    why: str
    seed: int
    records: list[int]
    position: dict[str, Any]
    fingerprint: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, float]
    versions: dict[str, str]


def path_of(workdir: str | Path, step: int) -> Path:
    """Where the bundle of a step is."""
    return Path(workdir) / FOLDER / f"step-{step:08d}.json"


def write(workdir: str | Path, bundle: Bundle) -> Path:
    """Writes a bundle, and deletes all but the newest `KEPT`.

    Raises:
      Unwritable: the disk is full, read-only, or not there.
    """
    path = path_of(workdir, bundle.step)
    metrics = {name: spelled(float(value)) for name, value in bundle.metrics.items()}
    told = {"format": FORMAT, **bundle._asdict(), "metrics": metrics}
    with storage.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.publish(path, (json.dumps(told) + "\n").encode())
        for old in sorted(path.parent.glob("step-*.json"))[:-KEPT]:
            old.unlink(missing_ok=True)
    return path


def read(path: str | Path) -> Bundle:
    """The bundle of a file.

    Raises:
      ConfigError: there is no such file, or it is no bundle.
    """
    path = Path(path)
    try:
        told = jsonfile.read(path)
    except FileNotFoundError as error:
        there = [str(one) for one in sorted(path.parent.glob("step-*.json"))]
        raise ConfigError(f"there is no file '{path}'{nearest(str(path), there)}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' is no bundle of a skipped step: {error}") from error
    if wrong := _wrong(told):
        raise ConfigError(
            f"'{path}' is no bundle of a skipped step: {wrong}; a run writes them to "
            f"WORKDIR/{FOLDER}"
        )
    metrics = {name: float(unspelled(value)) for name, value in told["metrics"].items()}
    return Bundle(**{name: told[name] for name in Bundle._fields} | {"metrics": metrics})


def _wrong(told: Any) -> str:
    """What a bundle lacks; "" for one."""
    if not isinstance(told, dict):
        return "it holds no fields"
    if told.get("format") != FORMAT:
        return f"its format is {told.get('format')!r:.20}, expected {FORMAT}"
    kinds = dict(zip(Bundle._fields, (int, str, int, list, *(dict,) * 5), strict=True))
    for name, kind in kinds.items():
        if type(told.get(name)) is not kind:
            return f"its field '{name}' is no {kind.__name__}"
    counted = [told["step"], told["position"].get("sample"), *told["records"]]
    if not all(type(number) is int and number >= 0 for number in counted):
        return "a step, a position or a record is no number from 0 on"
    return "" if _numbers(told["metrics"]) else "its metrics are no numbers"


def _numbers(metrics: Mapping[str, Any]) -> bool:
    return all(type(unspelled(value)) in (int, float) for value in metrics.values())
