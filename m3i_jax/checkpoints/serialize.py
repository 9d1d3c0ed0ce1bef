"""Trees as they lie in a checkpoint: nested dicts of arrays, and a description of every leaf.

The file does not know optax's records or ours, so those can change their class without making old
checkpoints unreadable. Random keys are stored as their words; arrays without elements, which
formats refuse, only in the description.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import trees

SLOTS = "codes"  # what a checkpoint calls the states of encoders: an old name on disk
SHOWN = 8  # differences listed in a message
Description = dict[str, dict[str, Any]]  # path -> dtype, shape (and impl, words for random keys)


def save(path: Path, arrays: Mapping[str, Any]) -> Any:
    """Starts to write nested dicts of arrays; returns Orbax's response, which waits for the end."""
    from orbax.checkpoint import v1  # late: half a second, and what a run will do is said before

    return v1.save_checkpointables_async(path, arrays)


def load(path: Path, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `save` wrote, of the shapes that are wanted."""
    from orbax.checkpoint import v1

    return v1.load_checkpointables(path, wanted)


def describe(tree: Any) -> Description:
    """Path, dtype and shape of every leaf of a tree of arrays or shapes; JSON-able."""
    leaves = trees.named_leaves(tree)
    described = {path: _describe(_leaf(leaf)) for path, leaf in leaves}
    if len(described) < len(leaves):
        paths = [path for path, _ in leaves]
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ValueError(f"two leaves of a tree have the same path '{twice}'")
    return described


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
    dtype = np.uint32 if "words" in entry else jnp.dtype(entry["dtype"])
    return np.empty(entry["shape"] + entry.get("words", []), dtype)


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
