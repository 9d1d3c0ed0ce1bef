"""Weights of another run: how frozen towers, heads and code states get theirs.

They come from a work directory (`WORKDIR`, its newest sound checkpoint, or
`WORKDIR/checkpoints/STEP`), or, for an image encoder, from what `experiments/export.py` writes: a
folder, or the safetensors file in it. Everything is returned in NumPy, on no device.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
from safetensors import SafetensorError
from safetensors.numpy import load_file

from m3i_jax import networks, trees
from m3i_jax.build import ConfigError, nearest
from m3i_jax.interop import timm
from m3i_jax.training import plain
from m3i_jax.training.checkpoint import Checkpoints

BRANCHES = ("ema", "online")
EXPORT = "model.safetensors"

Tree = dict[str, Any]


def load(path: str | Path, wanted: Tree, *, tower: str = "image", branch: str = "ema") -> Tree:
    """Parameters of one encoder, exactly those of `wanted`.

    Args:
      path: a work directory, one of its checkpoint steps, an exported folder or .safetensors file.
      wanted: nested dicts of arrays or ShapeDtypeStructs, the new run's `encoders/<tower>`.
      tower: its name in the old run.
      branch: "ema" or "online", of a checkpoint; an export holds one branch only.

    Raises:
      ConfigError: nothing there to read, or its parameters are not those wanted: every missing,
        unknown or differently shaped one is listed.
    """
    path = Path(path)
    exported = path / EXPORT if path.is_dir() else path
    if exported.is_file():
        if tower != "image":
            raise ConfigError(f"'{path}' is an exported image encoder and has no tower '{tower}'")
        found = _exported(exported)
    else:
        found = _part(path, branch, "encoders", tower)
    check(found, wanted, what=f"tower '{tower}' of '{path}'")
    return found


def load_heads(path: str | Path, names: Iterable[str], branch: str) -> dict[str, Tree]:
    """Parameters of decoders by name, from a checkpoint; compare them with `check`.

    branch: "online" has all of them, "ema" those that averaged codes pass through.
    """
    return {name: _part(Path(path), branch, "decoders", name) for name in names}


def load_code_state(path: str | Path, name: str) -> Any:
    """State of an encoder (of its slot) in a checkpoint, such as a tokenizer's codebook.

    Nested dicts of arrays, or an array; the fields of a record are keys, those of a tuple "0", ...
    """
    kept, step = _checkpoint(Path(path))
    if name == "ema":  # an item of its own, see TrainState.items
        return kept.restore_item(step, "ema")
    codes = kept.restore_item(step, "state").get("codes", {})
    found = codes
    for part in name.split("/"):  # names with a slash are nested on disk
        found = found.get(part) if isinstance(found, dict) else None
    if found is None:
        there = [path for path, _ in trees.named_leaves(codes)]
        raise ConfigError(f"'{path}' keeps no state of encoder '{name}'{nearest(name, there)}")
    return found


def check(found: Tree, wanted: Tree, *, what: str) -> None:
    """Raises ConfigError listing every parameter in which the two trees differ."""
    has, wants = plain.describe(found), plain.describe(wanted)
    lines = plain.differences(has, wants)
    if not lines:
        return
    moved = [p for p in has.keys() & wants.keys() if "pos" in p.split("/")[-1]]
    resized = any(has[p]["shape"] != wants[p]["shape"] for p in moved)
    hint = ". Positions are not resampled for images of another size" if resized else ""
    raise ConfigError(f"{what} does not fit this run: {'; '.join(lines)}{hint}")


def _part(path: Path, branch: str, kind: str, name: str) -> Tree:
    """One encoder or decoder of a checkpoint."""
    if branch not in BRANCHES:
        raise ConfigError(f"a checkpoint has the branches {' and '.join(BRANCHES)}, not '{branch}'")
    kept, step = _checkpoint(path)
    there = kept.restore_item(step, branch).get(kind, {})
    if name not in there:
        raise ConfigError(
            f"branch '{branch}' of '{path}' has no {kind}/{name}{nearest(name, there)}"
        )
    return there[name]


def _checkpoint(path: Path) -> tuple[Checkpoints, int]:
    """The checkpoints of a work directory, and the step that `path` names or the newest sound."""
    step = None
    if path.parent.name == "checkpoints" and path.name.isdecimal():
        path, step = path.parent.parent, int(path.name)
    if not (path / "checkpoints").is_dir():
        raise ConfigError(
            f"there are no weights at '{path}'; expected the --workdir of a run, "
            f"WORKDIR/checkpoints/STEP, or an exported encoder ({EXPORT})"
        )
    kept = Checkpoints(path / "checkpoints", read_only=True)
    step = kept.latest() if step is None else step
    if step is None:
        raise ConfigError(f"'{path}' has no sound checkpoint yet")
    return kept, step


def _exported(file: Path) -> Tree:
    """The encoder in a file in timm's names, in ours."""
    try:
        return timm.restore(load_file(file), learned_positions=_learns_positions(file))
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"'{file}' is not a safetensors file: {error}") from error
    except ValueError as error:
        raise ConfigError(f"'{file}' is not one of our exports: {error}") from error


def _learns_positions(file: Path) -> bool:
    """Whether the position table in an export is a parameter; fixed ones are written down, too."""
    description = file.with_name("config.json")
    if not description.is_file():
        return True
    block = json.loads(description.read_text(encoding="utf-8")).get("m3i_jax", {}).get("encoder")
    if block is None:
        return True
    image = block.get("image", 224)
    network = networks.build(block, {}, {}, image=image, dtype="float32", out={})
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    return "pos_embed" in shapes["encoders"]["image"]
