"""Files of weights: safetensors, whole or in shards, as name -> array."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from m3i_jax.build import ConfigError

WEIGHTS, CONFIG = "model.safetensors", "config.json"
INDEX = "model.safetensors.index.json"
TORCH = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl")
WRAPPERS = ("module.", "_orig_mod.", "model.")


def located(path: str | Path) -> Path | None:
    """The file of weights that `path` names, or that lies in this folder; None = there is none."""
    path = Path(path)
    candidates = [path / WEIGHTS, path / INDEX] if path.is_dir() else [path]
    return next((file for file in candidates if file.is_file()), None)


def read(file: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, or of all shards that an index names.

    Raises:
      ConfigError: a torch file, which has to be converted, or none that can be read.
    """
    file = Path(file)
    if file.suffix in TORCH:
        raise ConfigError(
            f"'{file}' is a torch file, which can hold code; convert it once, weights only: "
            f"python experiments/convert.py --torch --input {file} --output FOLDER"
        )
    try:
        if file.name.endswith(".index.json"):
            shards = set(json.loads(file.read_text())["weight_map"].values())
            return unwrapped({k: x for s in sorted(shards) for k, x in _read(file.parent / s)})
        return unwrapped(dict(_read(file)))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ConfigError(f"'{file}' is not a safetensors file: {error}") from error


def unwrapped(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the prefixes that wrappers put in front of every name."""
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): x for name, x in state.items()}
    return state


def _read(file: Path):
    with safe_open(file, framework="numpy") as tensors:
        return [(name, tensors.get_tensor(name)) for name in tensors.keys()]  # noqa: SIM118


def write(folder: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes the weights beside a folder's config.json, for the same readers.

    safetensors itself leaves a file that its owner alone can read.
    """
    file = Path(folder) / WEIGHTS
    tensors = {name: np.asarray(x, order="C") for name, x in tensors.items()}
    save_file(tensors, file, metadata={"format": "pt"})
    shutil.copymode(file.with_name(CONFIG), file)
