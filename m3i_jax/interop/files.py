"""Files of weights: safetensors, whole or in shards, as name -> array."""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError

WEIGHTS, CONFIG = "model.safetensors", "config.json"
PREPROCESSOR = "preprocessor_config.json"
OPEN_CLIP, OPEN_CLIP_CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
INDEX = "model.safetensors.index.json"
TORCH = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl")
WRAPPERS = ("module.", "_orig_mod.", "model.")
# What NumPy has, with bfloat16; weights of fewer bits are quantised, and mean nothing alone.
READ = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")


def located(path: str | Path) -> Path | None:
    """The file of weights that `path` names, or that lies in this folder; None = there is none."""
    path = Path(path)
    candidates = [path / n for n in (WEIGHTS, INDEX, OPEN_CLIP)] if path.is_dir() else [path]
    return next((file for file in candidates if file.is_file()), None)


def read(file: str | Path, *, encoder: str = "ENCODER") -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, or of all shards that an index names.

    encoder: our name of the one that is to be filled, for the command that converts a torch file.

    Raises:
      ConfigError: a torch file, which has to be converted, or none that can be read.
    """
    file = Path(file)
    if file.suffix in TORCH:
        raise ConfigError(
            f"'{file}' is a torch file, which can hold code; convert it once, weights only: "
            f"m3i convert {file} --torch --encoder {encoder} --output FOLDER"
        )
    try:
        return unwrapped(_shards(file) if file.name.endswith(".index.json") else _read(file))
    except ConfigError:
        raise
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise ConfigError(f"'{file}' is not a safetensors file: {error}") from error


def beside(path: str | Path, name: str) -> dict[str, Any]:
    """The JSON object `name` in the folder of the weights at `path`, {} where there is none.

    Raises:
      ConfigError: it cannot be read, or is no object.
    """
    weights = located(path) or Path(path)
    file = weights.with_name(name) if weights.is_file() else weights / name
    if not file.exists():
        return {}
    try:
        said = jsonfile.read(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{file}' cannot be read: {error}") from error
    if not isinstance(said, dict):
        raise ConfigError(f"'{file}' is no JSON object")
    return said


def unwrapped(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the prefixes that wrappers put in front of every name."""
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): x for name, x in state.items()}
    return state


def _shards(index: Path) -> dict[str, np.ndarray]:
    """The arrays of the shards that an index names, which lie beside it and have what it says."""
    said = jsonfile.read(index)
    places = said.get("weight_map") if isinstance(said, dict) else None
    if not isinstance(places, dict) or not all(isinstance(x, str) for x in places.values()):
        raise ValueError("it has no 'weight_map' from names of weights to names of files")
    shards = sorted(set(places.values()))
    for shard in shards:
        if shard != os.path.basename(shard) or shard in ("", ".", ".."):
            raise ConfigError(f"'{index}' names the file '{shard}', which is not in its folder")
    arrays = {shard: _read(index.parent / shard) for shard in shards}
    elsewhere = [name for name, shard in places.items() if name not in arrays[shard]]
    if elsewhere:
        name = min(elsewhere)
        raise ValueError(f"'{places[name]}' has no '{name}', which the index says is there")
    return {name: arrays[shard][name] for name, shard in places.items()}


def _read(file: Path) -> dict[str, np.ndarray]:
    os.close(ordinary.opened(file, os.O_RDONLY))  # safetensors waits for a pipe
    with safe_open(file, framework="numpy") as tensors:
        names = tensors.keys()
        for name in names:
            kind = tensors.get_slice(name).get_dtype()
            if kind not in READ:
                raise ConfigError(
                    f"'{file}' keeps '{name}' as {kind}, which is quantised; save the weights as "
                    "float32, float16 or bfloat16"
                )
        return {name: tensors.get_tensor(name) for name in names}


def write(folder: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes the weights beside a folder's config.json, for the same readers.

    safetensors itself leaves a file that its owner alone can read.

    Raises:
      OSError: the file cannot be written, or something else has its name: a pipe, a folder.
    """
    file = Path(folder) / WEIGHTS
    tensors = {name: np.asarray(x, order="C") for name, x in tensors.items()}
    with ordinary.replacing(file) as draft:
        os.close(ordinary.opened(draft, os.O_WRONLY | os.O_CREAT))  # safetensors waits for a pipe
        try:
            save_file(tensors, draft, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error), os.fspath(file)) from error
    shutil.copymode(file.with_name(CONFIG), file)
