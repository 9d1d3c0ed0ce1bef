"""Weights of another run, or of others: how frozen towers, heads and slots get theirs.

They come from a work directory (`WORKDIR`, its newest sound checkpoint, or
`WORKDIR/checkpoints/STEP`), or from a safetensors file, or the folder of one, in any layout that
`interop` knows. Everything is returned in NumPy, on no device.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from m3i_jax import trees
from m3i_jax.build import ConfigError, nearest
from m3i_jax.checkpoints import place, serialize
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.checkpoints.token_rows import aligned
from m3i_jax.data import captions
from m3i_jax.data.captions import Captions
from m3i_jax.interop import beside, files, importing, layouts
from m3i_jax.interop.rename import nested
from m3i_jax.interop.statement import Stated
from m3i_jax.types import Grid

LOG = logging.getLogger(__name__)
BRANCHES = ("ema", "online")

Tree = dict[str, Any]


def load(
    path: str | Path,
    wanted: Tree,
    *,
    tower: str = "image",
    branch: str = "ema",
    layout: str = layouts.AUTO,
    ignore: str = "",
    grid: Grid | None = None,
    block: Mapping[str, Any] | None = None,
    tokenizer: Captions | None = None,
) -> Tree:
    """Parameters of one encoder, exactly those of `wanted`.

    Args:
      path: a work directory, one of its checkpoint steps, or a file of weights or its folder.
      wanted: nested dicts of arrays or ShapeDtypeStructs, the new run's `encoders/<tower>`.
      tower: its name in the old run or in the file.
      branch: "ema" or "online", of a checkpoint.
      layout: of a file, as `interop.layouts` calls it, or "auto".
      ignore: pattern of parameters in a file that may be there without being wanted, and of
        fields that may be other than what is said beside it.
      grid: of the wanted encoder, to which a file's position tables are resampled.
      block: of the wanted encoder, held against what is said beside the weights.
      tokenizer: that a text encoder reads, see `token_rows.aligned`.

    Raises:
      ConfigError: nothing there to read, or its parameters are not those wanted: every missing,
        unknown or differently shaped one is listed.
    """
    path = Path(path)
    held = lambda said: agree(said, block, ignore=ignore, what=f"'{path}'") if block else []  # noqa: E731
    if is_file(path):
        name = (block or {}).get("name", "ENCODER")
        imported = importing.read(path, layout=layout, encoder=name)
        if "token_embed" in wanted:
            imported = aligned(imported, tokenizer, rows=wanted["token_embed"].shape[0])
        return _of_file(imported, wanted, tower, ignore, grid, held(imported.stated))
    params, said = _part(path, branch, "encoders", tower), stated(path, tower)
    for note in held(said):
        LOG.info("'%s': %s", path, note)
    if "token_embed" in wanted and (others := other_tokens(path, tokenizer)):
        raise ConfigError(others)
    _check_grid(params, wanted, said, grid, what=f"tower '{tower}' of '{path}'")
    check(params, wanted, what=f"tower '{tower}' of '{path}'")
    return params


def block(config: Any, tower: str) -> dict[str, Any]:
    """The block of a tower as the network is built from it."""
    own = config.encoder if tower == "image" else config.towers[tower]
    return {**({"image": config.image} if beside.takes_images(own) else {}), **own}


def agree(said: Stated, block: Mapping[str, Any], *, ignore: str, what: str) -> list[str]:
    """Refuses an encoder that is not the one that is said; see `interop.beside.agree`.

    ignore: pattern of the fields that may differ.
    """
    chosen = lambda field: bool(ignore and re.search(ignore, field))  # noqa: E731
    return beside.agree(said, block, chosen=chosen, what=what)


def stated(path: str | Path, tower: str) -> Stated:
    """What the config of a work directory says of one of its towers; nothing where it has none."""
    path = _home(path)
    config = files.beside(path, files.CONFIG)
    blocks = {"image": config.get("encoder"), **(config.get("towers") or {})}
    own = blocks.get(tower)
    if not isinstance(own, dict):
        return Stated()
    size = {"image": config["image"]} if "image" in config and beside.takes_images(own) else {}
    statement = beside.of_block({**size, **own}, where=f"the config of '{path}', {tower}.")
    return statement._replace(decoders=config.get("decoders") or {})


def _home(path: str | Path) -> Path:
    """The work directory of a path into it."""
    return place.parted(path)[0]


def other_tokens(path: str | Path, tokenizer: Captions | None) -> str:
    """What keeps a text tower of a work directory from reading this run's tokens; "" for nothing.

    Its rows are of the tokens that its own tokenizer.json numbers, which shapes do not tell.
    """
    theirs = _home(path) / "tokenizer.json"
    if tokenizer is None or not theirs.is_file() or captions.load(theirs).numbers_as(tokenizer):
        return ""
    return (
        f"the text tower of '{path}' was trained on the tokens of '{theirs}', and this run has "
        "others; name that file in config.captions.file"
    )


def is_file(path: str | Path) -> bool:
    """Whether weights come from a file (or the folder of one) and not from a work directory."""
    return files.located(path) is not None


def require(path: str | Path, *, what: str) -> None:
    """Refuses a path at which there are no weights, before anything is read or compiled.

    what: the key that names it, such as "config.init_from.path".
    """
    try:
        if not is_file(path):
            _checkpoint(Path(path), look=False)
    except (ConfigError, OSError) as error:
        here, names = Path(path), []
        if not here.exists() and here.parent.is_dir() and here.parent.name != place.FOLDER:
            names = sorted(other.name for other in here.parent.iterdir())
        hint = nearest(here.name, names) if names else ""
        raise ConfigError(f"{what}: {error}{hint}") from error


def load_file_heads(path: str | Path, wanted: Tree, *, layout: str = layouts.AUTO) -> Tree:
    """Parameters of decoders by name, from a file: each of its own name, or the only one there.

    Raises:
      ConfigError: there is no such decoder, or it is another one.
    """
    imported = importing.read(path, layout=layout)
    there = nested(imported.params).get("decoders", {})
    heads = {}
    for name, tree in wanted.items():
        if name not in there and len(there) != 1:
            raise ConfigError(f"{imported.path} has no decoder '{name}'{nearest(name, there)}")
        head = there.get(name) or next(iter(there.values()))
        needed = dict(trees.named_leaves(tree))
        heads[name] = nested({p: x for p, x in trees.named_leaves(head) if p in needed})
    check(heads, wanted, what=f"heads of {imported.path}")
    return heads


def load_heads(path: str | Path, names: Iterable[str], branch: str) -> dict[str, Tree]:
    """Parameters of decoders by name, from a checkpoint; compare them with `check`.

    branch: "online" has all of them, "ema" those that averaged codes pass through.
    """
    return {name: _part(Path(path), branch, "decoders", name) for name in names}


def load_branch(path: str | Path, branch: str) -> Tree:
    """All parameters of the branch "online" or "ema" of a checkpoint."""
    kept, step = _checkpoint(Path(path))
    return kept.restore_item(step, branch)


def load_slot(path: str | Path, name: str) -> Any:
    """State of an encoder (of its slot) in a checkpoint, such as a tokenizer's codebook.

    Nested dicts of arrays, or an array; the fields of a record are keys, those of a tuple "0", ...
    """
    kept, step = _checkpoint(Path(path))
    if name == "ema":  # an item of its own, see TrainState.items
        return kept.restore_item(step, "ema")
    slots = kept.restore_item(step, "state").get(serialize.SLOTS, {})
    state = slots
    for part in name.split("/"):  # names with a slash are nested on disk
        state = state.get(part) if isinstance(state, dict) else None
    if state is None:
        there = [path for path, _ in trees.named_leaves(slots)]
        raise ConfigError(f"'{path}' keeps no state of encoder '{name}'{nearest(name, there)}")
    return state


def check(params: Tree, wanted: Tree, *, what: str) -> None:
    """Raises ConfigError listing every parameter in which the two trees differ."""
    has, wants = serialize.describe(params), serialize.describe(wanted)
    lines = serialize.differences(has, wants)
    if not lines:
        return
    moved = [p for p in has.keys() & wants.keys() if "pos" in p.split("/")[-1]]
    resized = any(has[p]["shape"] != wants[p]["shape"] for p in moved)
    hint = (
        ". Positions of a checkpoint are not resampled; those of an export are" if resized else ""
    )
    raise ConfigError(f"{what} does not fit this run: {'; '.join(lines)}{hint}")


def meta(path: str | Path) -> tuple[int, dict[str, Any]]:
    """The step of a checkpoint, and what was written beside it: config, data fingerprint, ..."""
    kept, step = _checkpoint(Path(path))
    return step, kept.meta(step)


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


def _checkpoint(path: Path, *, look: bool = True) -> tuple[Checkpoints, int]:
    """The checkpoints of a work directory, and the step that `path` names or the newest sound.

    look: whether every byte is compared; the newest that is there is enough otherwise.
    """
    path, step = place.parted(path)
    if not place.folder(path).is_dir():
        raise ConfigError(
            f"there are no weights at '{path}'; expected the --workdir of a run, "
            f"WORKDIR/checkpoints/STEP, or a file of weights ({files.WEIGHTS})"
        )
    kept = Checkpoints(place.folder(path), read_only=True)
    there = kept.steps()
    if step is not None and step not in there and not look:
        raise ConfigError(
            f"there is no step {step} in '{path}/checkpoints'; it has "
            f"{', '.join(map(str, there)) or 'none'}"
        )
    if step is None:
        step = kept.latest() if look else next(reversed(there), None)
    if step is None:
        raise ConfigError(f"'{path}' has no sound checkpoint yet")
    return kept, step


def _check_grid(params, wanted, said, grid, *, what) -> None:
    """Refuses tables of another grid of as many cells, which shapes do not tell."""
    tables = [path for path, _ in trees.named_leaves(params) if path.endswith(importing.TABLES)]
    if tables and grid and said.grid and said.grid != grid:
        same = [x.shape for _, x in trees.named_leaves(params)] == [
            x.shape for _, x in trees.named_leaves(wanted)
        ]
        if same:
            raise ConfigError(
                f"{what} has tables for a grid of {said.grid}, and this run has {grid}; "
                "positions of a checkpoint are not resampled, those of an export are"
            )


def _of_file(imported, wanted, tower, ignore, grid, said) -> Tree:
    """The encoder in a file, made to fit."""
    module, shapes = f"encoders/{tower}/", dict(trees.named_leaves(wanted))
    if not any(path.startswith(module) for path in imported.params):
        raise ConfigError(
            f"{imported.path} is of layout '{imported.layout.name}' and has no tower '{tower}'"
        )
    wanted = {module + path: shape for path, shape in shapes.items()}
    leaves, notes = importing.fitted(imported, wanted, grid=grid)
    leaves = {path: x for path, x in leaves.items() if path.startswith(module)}
    account = importing.report(leaves, wanted, notes=notes, what=imported.path)
    importing.complete(account, imported.layout, ignore=ignore, what=imported.path)
    for note in (importing.advice(imported.layout), *account.notes, *said):
        if note:
            LOG.info("%s: %s", imported.path, note)
    return nested({path.removeprefix(module): leaves[path] for path in account.matched})
