"""Trees as they lie in a checkpoint: nested dicts of arrays, and a description of every leaf.

The file does not know optax's records or ours, so those can change their class without making old
checkpoints unreadable. Random keys are stored as their words; arrays without elements, which
formats refuse, only in the description.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import trees
from m3i_jax.checkpoints.faults import Damage

SLOTS = "codes"  # what a checkpoint calls the states of encoders: an old name on disk
SHOWN = 8  # differences listed in a message
# What else is said of random keys, by dtype.
KEYS = {
    "key<fry>": {"words": [2], "impl": "threefry2x32"},
    "key<rbg>": {"words": [4], "impl": "rbg"},
    "key<urbg>": {"words": [4], "impl": "unsafe_rbg"},
}
Description = dict[str, dict[str, Any]]  # path -> dtype, shape (and impl, words for random keys)


def save(path: Path, arrays: Mapping[str, Any]) -> Any:
    """Starts to write nested dicts of arrays; returns Orbax's response, which waits for the end."""
    from orbax.checkpoint import v1  # late: half a second, and what a run will do is said before

    return v1.save_checkpointables_async(path, arrays)


def load(
    path: Path, described: Mapping[str, Description], *, wanted: Mapping[str, Any] | None = None
) -> dict[str, dict]:
    """The items that are described, of what `save` wrote, as nested dicts of arrays.

    wanted: trees of arrays or shapes by item, which are described so; None = NumPy.

    Raises:
      Damage: they cannot be read, or are not what is described.
    """
    from orbax.checkpoint import v1

    full = [name for name, entries in described.items() if _full(entries)]
    try:
        for name in full:
            _check_stored(name, v1.metadata(path, name).metadata, _full(described[name]))
        shapes = {n: template(wanted[n]) if wanted else as_numpy(described[n]) for n in full}
        arrays = v1.load_checkpointables(path, shapes) if full else {}
    except Damage:
        raise
    except Exception as error:
        why = error.__cause__ or error
        said = next(iter(str(why).splitlines()), "")
        raise Damage(f"it cannot be read ({type(why).__name__}: {said})") from error
    return {name: arrays.get(name, {}) for name in described}


def _full(entries: Description) -> Description:
    """What formats keep of an item: arrays with elements."""
    return {path: entry for path, entry in entries.items() if 0 not in entry["shape"]}


def _check_stored(name: str, stored: Any, entries: Description) -> None:
    """Holds what is described against what Orbax has, which would cast, cut and fill up."""
    has = {path: (tuple(leaf.shape), leaf.dtype) for path, leaf in trees.named_leaves(stored)}
    said = {path: (tuple(_sizes(entry)), _dtype(entry)) for path, entry in entries.items()}
    other = [path for path in sorted(has.keys() | said.keys()) if has.get(path) != said.get(path)]
    if other:
        raise Damage(f"its array {name}/{other[0]} is not what the manifest says")


def describe(tree: Any) -> Description:
    """Path, dtype and shape of every leaf of a tree of arrays or shapes; JSON-able."""
    leaves = trees.named_leaves(tree)
    described = {path: _describe(_leaf(leaf)) for path, leaf in leaves}
    if len(described) < len(leaves):
        paths = [path for path, _ in leaves]
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ValueError(f"two leaves of a tree have the same path '{twice}'")
    return described


def fault(items: Mapping[str, Any]) -> str:
    """What is no description of items where a manifest has them; empty where all is as `describe`
    would say it."""
    for name, described in items.items():
        if not isinstance(described, dict):
            return f"item {name!r:.80}"
        folders = {p for path in described for p in _folders(path)}
        for path, entry in described.items():
            if path in folders or not _is_described(entry):
                return f"array {f'{name}/{path}'!r:.200}"
    return ""


def _folders(path: str) -> list[str]:
    """What a path lies in."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _is_described(entry: Any) -> bool:
    """Whether an entry has a dtype of numbers and a shape, or is of random keys as they are."""
    if not isinstance(entry, dict) or not isinstance(entry.get("shape"), list):
        return False
    if not all(type(count) is int and 0 <= count < 2**40 for count in entry["shape"]):
        return False
    own = {name: x for name, x in entry.items() if name not in ("dtype", "shape")}
    dtype = entry.get("dtype")
    if own or not isinstance(dtype, str):
        return isinstance(dtype, str) and own == KEYS.get(dtype)
    try:
        known = jnp.dtype(dtype)
    except TypeError:
        return False
    return jnp.issubdtype(known, np.number) or known.kind == "b"


def differences(stored: Description, wanted: Description) -> list[str]:
    """One line for every path that is missing, unknown, or of another shape or dtype."""
    lines = []
    for path in sorted(stored.keys() | wanted.keys()):
        if path not in stored:
            lines.append(f"'{path}' is not in the checkpoint")
        elif path not in wanted:
            lines.append(f"'{path}' is in the checkpoint only")
        else:
            has, wants = (f"{d[path]['dtype']}{d[path]['shape']}" for d in (stored, wanted))
            if has != wants:
                lines.append(f"'{path}' is {has} in the checkpoint, {wants} here")
    return lines


def mismatch(recorded: Mapping[str, Description], wanted: Mapping[str, Any]) -> str:
    """What makes a checkpoint another than `wanted`, trees by item, as the end of a sentence.

    Empty where it fits; items of the checkpoint that nobody wants do not matter.
    """
    absent = sorted(set(wanted) - set(recorded))
    if absent:
        return f"has no item '{absent[0]}', only {', '.join(sorted(recorded))}"
    lines = [
        f"{name}: {line}"
        for name, tree in wanted.items()
        for line in differences(recorded[name], describe(tree))
    ]
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"does not fit this run: {'; '.join(lines[:SHOWN])}{more}" if lines else ""


def fitting(
    recorded: Mapping[str, Description], wanted: Mapping[str, Any], optional: Sequence[str]
) -> dict[str, Any]:
    """`wanted` without those of the optional items that a checkpoint lacks or has otherwise."""
    return {
        name: tree
        for name, tree in wanted.items()
        if name not in optional or not mismatch(recorded, {name: tree})
    }


def not_finite(tree: Any) -> str:
    """Which arrays hold a NaN or an infinity in this process, in words; empty where none does."""
    leaves = [(path, leaf) for path, leaf in trees.named_leaves(tree) if _is_float(leaf)]
    bad = [path for path, leaf in leaves if not all(map(_finite, _parts(leaf)))]
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return ", ".join(bad[:SHOWN]) + more


def _parts(leaf: Any) -> list:
    """What this process has of an array. Parts are arrays of their own, so that looking at them in
    NumPy leaves no reference that would keep the whole from being donated."""
    return [s.data for s in leaf.addressable_shards] if isinstance(leaf, jax.Array) else [leaf]


def _finite(part: Any) -> bool:
    """Whether all numbers are finite: their least and greatest are, which a NaN would be, too."""
    if not part.size:
        return True
    if isinstance(part, jax.Array) and part.device.platform != "cpu":
        low, high = jax.device_get(_extremes(part))
    else:  # without a program for every shape
        part = np.asarray(part)
        with np.errstate(invalid="ignore"):
            low, high = part.min(), part.max()
    return bool(np.isfinite(np.float64(low)) and np.isfinite(np.float64(high)))


@jax.jit
def _extremes(part: Any) -> tuple:
    return part.min(), part.max()


def to_dict(tree: Any) -> dict[str, Any]:
    """The arrays of a tree as a nested dict, NumPy ones copied."""

    def one(leaf):
        if _is_key(leaf):
            return jax.random.key_data(leaf)
        return leaf if isinstance(leaf, jax.Array) else np.array(leaf)

    return _nest({path: one(_leaf(leaf)) for path, leaf in trees.named_leaves(tree)})


def template(tree: Any) -> dict[str, Any]:
    """What `to_dict` would make of a tree of arrays or shapes, as shapes with shardings.

    Leaves without a sharding go to the first device; NumPy leaves stay in NumPy.
    """
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def one(leaf):
        if not isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
            return np.empty(leaf.shape, leaf.dtype)
        words = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
        sharding = leaf.sharding or first
        return jax.ShapeDtypeStruct(words.shape, words.dtype, sharding=sharding)

    return _nest({path: one(_leaf(leaf)) for path, leaf in trees.named_leaves(tree)})


def from_dict(nested: dict[str, Any], tree: Any, stored: Description) -> Any:
    """The arrays of `nested` in the structure of `tree`; inverse of `to_dict`."""
    flat = dict(trees.named_leaves(nested))

    def one(path, leaf):
        leaf = _leaf(leaf)
        if path not in flat:
            empty = np.zeros(leaf.shape, leaf.dtype)
            placed = isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)
            return jax.device_put(empty, leaf.sharding) if placed else empty
        if _is_key(leaf):
            return jax.random.wrap_key_data(flat[path], impl=stored[path]["impl"])
        return flat[path]

    return trees.map_with_name(one, tree)


def as_numpy(stored: Description) -> dict[str, Any]:
    """A NumPy template for a stored item that nothing but its description is known of."""
    return _nest({path: _empty(entry) for path, entry in stored.items()})


def complete(nested: dict[str, Any], stored: Description) -> dict[str, Any]:
    """`nested` with the arrays without elements put back."""
    empty = {p: _empty(e) for p, e in stored.items() if 0 in e["shape"]}
    return trees.overlay(nested, _nest(empty, keep_empty=True))


def _leaf(leaf: Any) -> Any:
    return leaf if hasattr(leaf, "dtype") else np.asarray(leaf)


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _describe(leaf: Any) -> dict[str, Any]:
    entry = {"dtype": str(leaf.dtype), "shape": list(leaf.shape)}
    if _is_key(leaf):
        words = jax.eval_shape(jax.random.key_data, leaf)
        entry["words"] = list(words.shape[leaf.ndim :])
        if isinstance(leaf, jax.Array):
            entry["impl"] = str(jax.random.key_impl(leaf))
    return entry


def _empty(entry: dict[str, Any]) -> np.ndarray:
    return np.empty(_sizes(entry), _dtype(entry))


def _sizes(entry: dict[str, Any]) -> list[int]:
    """Of an array as it is stored."""
    return entry["shape"] + entry.get("words", [])


def _dtype(entry: dict[str, Any]) -> np.dtype:
    """Of an array as it is stored."""
    return jnp.dtype(np.uint32 if "words" in entry else entry["dtype"])


def _nest(flat: dict[str, Any], *, keep_empty: bool = False) -> dict[str, Any]:
    """Nested dicts from slash-joined paths, without arrays of no elements unless they are kept."""
    root: dict[str, Any] = {}
    for path, leaf in flat.items():
        if math.prod(leaf.shape) == 0 and not keep_empty:
            continue
        *folders, name = path.split("/")
        node = root
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = leaf
    return root
