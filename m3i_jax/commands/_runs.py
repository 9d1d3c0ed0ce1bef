"""Which runs there are, where a command line names none."""

import datetime
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place

FOLDER = "runs"  # where they are kept if nobody says another place
CONFIG, METRICS = "config.json", "metrics.jsonl"  # of a work directory
MOST = 10  # that a sentence lists
BEHIND = re.compile(r"(@\d+)?(#\w+)?$")  # step and branch of a model
FILES = (".safetensors", ".pth", ".pt", ".bin", ".pkl", ".onnx", ".json")
PLAIN = ("model", "pytorch_model", "export", place.FOLDER, "/", "..")  # names that tell nothing


def of_config(name: str) -> str:
    """Where the run of a config is kept if nobody says it: by its file, and its argument."""
    path, _, argument = name.partition(":")
    file = Path(path)
    stem = file.absolute().parent.name if file.name == CONFIG else file.stem
    behind = re.sub(r"[^\w.=+]+", "-", argument).strip("-")
    return f"{FOLDER}/{stem}" + (f"-{behind}" if behind else "")


def of_model(name: str) -> str:
    """Where what is made of a model is kept if nobody says it: by its run, its folder or file."""
    path = Path(BEHIND.sub("", name.partition(":")[0]))
    parts = [*path.parent.parts, path.stem if path.suffix in FILES else path.name]
    telling = (part for part in reversed(parts) if part not in PLAIN and not part.isdecimal())
    return f"{FOLDER}/{next(telling, 'model')}-finetuned"


def placed(name: str, config: Mapping[str, Any], **how: Any) -> str:
    """The work directory of a run where nobody names one; says which names other runs have.

    how: see `placing.placed`.
    """
    from m3i_jax.training import placing
    from m3i_jax.training.config import Config

    found = placing.placed(name, Config.of(config), **how)
    for sentence in found.passed:
        print(f"{sentence}; this one is kept in {found.folder}", file=sys.stderr, flush=True)
    return str(found.folder)


def there(folder: str | Path) -> list[Path]:
    """The work directories in a folder, those first in which something was written last."""
    found = [path.parent for path in Path(folder).glob(f"*/{CONFIG}") if is_run(path.parent)]
    return sorted(found, key=_written, reverse=True)


def meant(verb: str) -> str:
    """The run of a command line that names none: the only one that there is, which is said.

    verb: of the command, for the sentence.

    Raises:
      ConfigError: there are several, which it lists, newest first; or there is none.
    """
    found = there(FOLDER)
    if not found:
        raise ConfigError(
            f"no run is named, and '{FOLDER}' has none: m3i pretrain FOLDER makes one, and "
            f"m3i {verb} PATH takes one from anywhere"
        )
    if len(found) == 1:
        print(f"of {found[0]}, the only run in '{FOLDER}'", file=sys.stderr, flush=True)
        return str(found[0])
    lines = [f"  {str(run):30} {_told(run)}" for run in found[:MOST]]
    lines += [f"  and {len(found) - MOST} older ones"] * (len(found) > MOST)
    listed = "\n".join(lines)
    best = next((run for run in found if place.steps(run)), found[0])
    raise ConfigError(f"which run? m3i {verb} {best}, or another; newest first:\n{listed}")


def is_run(folder: Path) -> bool:
    """Whether somebody has started a run there; an export has a config.json, too."""
    return place.folder(folder).is_dir() or (folder / METRICS).is_file()


def _written(run: Path) -> float:
    """When a line was last written."""
    file = run / METRICS
    return (file if file.is_file() else run / CONFIG).stat().st_mtime


def _told(run: Path) -> str:
    when = datetime.datetime.fromtimestamp(_written(run)).isoformat(" ", "minutes")
    steps = place.steps(run)
    return f"{when}, {f'step {steps[-1]}' if steps else 'no checkpoint yet'}"
