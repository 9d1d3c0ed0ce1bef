"""One sharding story: a mesh, and ordered (path pattern, axes) rules for every tree of a run.

Parameters, moving averages and optimiser moments end in the same names, so one rule covers all
three. Batches are split over every axis but `tensor`. Everything else is the compiler's business.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax import trees
from m3i_jax.build import ConfigError, call, nearest
from m3i_jax.parallel import slices
from m3i_jax.ranges import Range
from m3i_jax.texts import OneOf, Pattern
from m3i_jax.types import Share

BATCH = P(("data", "fsdp"))

# Leaves with a leading depth axis, which a scan walks and which no rule ever splits: whoever scans
# layers names them "blocks" (`nn.blocks.stack`, `nn.query_layers.scanned`).
STACKED = re.compile(r"(^|/)blocks/(?!\d)")

# Leaves that no forward or backward pass needs whole.
STATES = re.compile(r"optimizer/|slots/(ema|snapshot)/")

# Value of a rule: "replicated"; "largest", the longest dimension that divides, over fsdp; "rows",
# those of a table of classes, prototypes or words, over fsdp and tensor (`tables`), or where they
# do not divide as "largest"; or the axes of a layer's last dimensions, so that stacked leaves need
# no rule of their own. With a `tensor` axis of 1 all of them are plain FSDP; otherwise the columns
# of the first matrix and the rows of the second are split, and a block needs one sum over `tensor`
# for each pair (`parallel/tensor.py`).
RULES: trees.Rules = (
    (r"/(qkv|fc1|w12|head|blocks_\d+_(\w+_[qkv]|fc1))/kernel$", ("fsdp", "tensor")),
    (r"/(proj|fc2|w3|blocks_\d+_(\w+_proj|fc2))/kernel$", ("tensor", "fsdp")),
    (r"(^|/)((encoders|decoders)/[^/]+/kernel|token_embed)$", "rows"),
    (r".*", "largest"),
)
NAMED = ("largest", "rows", "replicated")
Rule = tuple[Pattern, Annotated[str, OneOf(*NAMED)]]

Axis = Annotated[int, Range(-1, 2**20, why="-1 takes what is left")]
SMALL = 2**14  # elements of a layer; splitting less costs more messages than it saves memory


def mesh(
    block: Mapping[str, Any] | None = None,
    *,
    batch: int | None = None,
    devices: Sequence[Any] | None = None,
    make: Callable = call,
) -> Mesh:
    """The devices as a (data, fsdp, tensor) grid, all of them unless `devices` are given.

    Args:
      block: sizes of the axes `data`, `fsdp`, `tensor`; -1, for one of them, takes what is left;
        and `slices`, see `axes`.
      batch: images per (micro-)batch, which the data and fsdp axes must divide.
      devices: default all devices of all processes.
      make: `build.call`; `build.made` for a block that has been checked.

    Raises:
      ConfigError: the axes do not multiply to the number of devices, or do not divide the batch.
    """
    devices = list(jax.devices() if devices is None else devices)
    shape = make(axes, block or {}, what="config.mesh", count=len(devices))
    ways = shape[0] * shape[1]
    if batch is not None and batch % ways:
        below, above = batch // ways * ways, (batch // ways + 1) * ways
        sizes = f"sizes that do are {below} and {above}" if below else f"size that does is {above}"
        raise ConfigError(
            f"a batch of {batch} does not divide over data x fsdp = {ways} devices; the nearest "
            f"{sizes}"
        )
    kinds = (AxisType.Auto,) * 3
    groups = slices.of(devices, (block or {}).get("slices", 0))
    if len(groups) > 1:
        return Mesh(slices.arranged(shape, groups), ("data", "fsdp", "tensor"), axis_types=kinds)
    return jax.make_mesh(shape, ("data", "fsdp", "tensor"), axis_types=kinds, devices=devices)


def absent(data: int, fsdp: int, *, tensor: int = 1) -> AbstractMesh:
    """A mesh of data x fsdp x tensor devices that need not be there."""
    return AbstractMesh((data, fsdp, tensor), ("data", "fsdp", "tensor"))


def tracing(mesh: Mesh | AbstractMesh) -> AbstractContextManager:
    """The context of traces under a mesh, which need not be there."""
    there = isinstance(mesh, Mesh)
    return jax.set_mesh(mesh) if there else jax.sharding.use_abstract_mesh(mesh)


def axes(
    *,
    count: int,
    data: Axis = -1,
    fsdp: Axis = 1,
    tensor: Axis = 1,
    slices: Annotated[int, Range(0, 2**16, why="0 = as the devices say")] = 0,
    zero1: bool = False,
    sums: Annotated[str, OneOf("float32", "bfloat16")] = "float32",
    rules: tuple[Rule, ...] = (),
) -> tuple[int, int, int]:
    """Sizes of the axes of a mesh of `count` devices, with -1 filled in.

    data: devices that each have a share of the batch, and all parameters.
    fsdp: devices that have a share of the batch, and of the parameters.
    tensor: devices that split every layer among them.
    slices: groups of devices that a slower network joins, each of which has a part of `data`; 0 =
      as the devices say, which those of TPUs do. Others are grouped in their order.
    zero1: split the states of optimiser and moving average over `data`, too, and not only over
      `fsdp` (ZeRO, stage 1; Rajbhandari et al. 2020, https://arxiv.org/abs/1910.02054).
    sums: dtype in which devices sum the gradients of weights; "bfloat16" sends half, rounded to
      eight bits.
    rules: (pattern of paths, how such leaves are kept), before our own; the first that fits counts:
      "replicated", or of `fsdp` "largest", the longest dimension, or of tables "rows".
    """
    sizes = {"data": data, "fsdp": fsdp, "tensor": tensor}
    text = ", ".join(f"{name} = {size}" for name, size in sizes.items())
    free = [name for name, size in sizes.items() if size == -1]
    if len(free) > 1 or any(size < 1 for size in sizes.values() if size != -1):
        raise ConfigError(f"config.mesh has {text}; axes are 1 or more, and one of them may be -1")
    fixed = math.prod(size for size in sizes.values() if size != -1)
    if free:
        sizes[free[0]] = count // fixed
    if math.prod(sizes.values()) != count:
        raise ConfigError(
            f"config.mesh has {text}, which does not fit {count} devices: "
            f"the axes must multiply to {count}"
        )
    return tuple(sizes.values())


def shardings(abstract: Any, mesh: Mesh, *, rules: trees.Rules = RULES, zero1: bool = False) -> Any:
    """A NamedSharding for every leaf of `abstract` (arrays or shapes), by the first rule.

    Keys of random generators are replicated, and so is every dimension that its axes do not
    divide.
    zero1: whether `STATES` are split over the axis `data`, too.
    """

    def one(path: str, leaf: Any) -> NamedSharding:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return NamedSharding(mesh, P())
        where = spec(path, leaf.shape, mesh, rules=rules)
        if zero1 and STATES.match(path):
            where = _over_data(path, leaf.shape, where, mesh)
        return NamedSharding(mesh, where)

    return trees.map_with_name(one, abstract)


def of_state(abstract: Any, mesh: Mesh | AbstractMesh, block: Mapping[str, Any]) -> Any:
    """`shardings` as config.mesh says.

    Raises:
      ConfigError: a rule of its that no path has.
    """
    paths = [path for path, _ in trees.named_leaves(abstract)]
    for pattern, _ in block.get("rules", ()):
        if not any(re.search(pattern, path) for path in paths):
            raise ConfigError(
                f"config.mesh.rules has '{pattern}', which no parameter's path has"
                f"{nearest(pattern, paths)}"
            )
    return shardings(abstract, mesh, rules=_rules(block), zero1=block.get("zero1", False))


def _rules(block: Mapping[str, Any]) -> trees.Rules:
    """Those of config.mesh in front of our own."""
    return (*map(tuple, block.get("rules", ())), *RULES)


def gradients(params: Any, mesh: Mesh, block: Mapping[str, Any]) -> Any:
    """How the gradients of parameters are split under `zero1`: as their moments."""
    return shardings({"optimizer": params}, mesh, rules=_rules(block), zero1=True)["optimizer"]


def spec(path: str, shape: tuple[int, ...], mesh: Mesh, *, rules: trees.Rules = RULES) -> P:
    """How one leaf is split."""
    value = trees.first_match(rules, path)
    depth = (None,) if STACKED.search(path) else ()
    layer = shape[len(depth) :]
    if isinstance(value, str) and value not in NAMED:
        raise ConfigError(
            f"the sharding rule for '{path}' is '{value}'; "
            f"expected {', '.join(map(repr, NAMED))} or a tuple of axis names"
        )
    if value == "replicated" or not layer or math.prod(layer) < SMALL:
        return P()
    if value == "rows":
        axes = _rows(layer, mesh) or _largest(layer, mesh)
    elif value == "largest":
        axes = _largest(layer, mesh)
    else:
        axes = (None,) * (len(layer) - len(value)) + tuple(value)[-len(layer) :]
        axes = tuple(
            a if _divides(a, size, mesh) else None for a, size in zip(axes, layer, strict=True)
        )
    return P(*depth, *axes) if any(axes) else P()


def _over_data(path: str, shape: tuple[int, ...], where: P, mesh: Mesh) -> P:
    """`where`, with data on the longest dimension that is whole so far and that it divides."""
    first = 1 if STACKED.search(path) else 0
    axes = [*where, *(None,) * (len(shape) - len(where))]
    fits = [i for i in range(first, len(shape)) if not axes[i] and _divides("data", shape[i], mesh)]
    if not fits or math.prod(shape[first:]) < SMALL:
        return where
    axes[max(fits, key=lambda i: (shape[i], i))] = "data"
    return P(*axes)


def of_rows(shape: tuple[int, ...], mesh: Mesh | AbstractMesh) -> str | tuple[str, ...] | None:
    """The axes over which the rows of a table (M, D) are split; None where they are whole."""
    found = spec("", shape, mesh, rules=((r"", "rows"),))
    return found[0] if found else None


def _rows(layer: tuple[int, ...], mesh: Mesh) -> tuple[Any, ...]:
    """fsdp and tensor on the first dimension; () where they do not divide it."""
    axes = tuple(axis for axis in ("fsdp", "tensor") if mesh.shape[axis] > 1)
    fits = axes and _divides(axes, layer[0], mesh)
    return (axes if len(axes) > 1 else axes[0], *(None,) * (len(layer) - 1)) if fits else ()


def _largest(layer: tuple[int, ...], mesh: Mesh) -> tuple[str | None, ...]:
    """fsdp on the longest dimension that it divides, the last of equals."""
    fits = [i for i, size in enumerate(layer) if _divides("fsdp", size, mesh)]
    chosen = max(fits, key=lambda i: (layer[i], i), default=None)
    return tuple("fsdp" if i == chosen else None for i in range(len(layer)))


def _divides(axes: str | Sequence[str] | None, size: int, mesh: Mesh) -> bool:
    """Whether the axes are split at all and divide `size`."""
    names = () if axes is None else (axes,) if isinstance(axes, str) else tuple(axes)
    unknown = [name for name in names if name not in mesh.shape]
    if unknown:
        raise ConfigError(f"a sharding rule names the axis '{unknown[0]}'; the mesh has {mesh}")
    ways = math.prod(mesh.shape[name] for name in names)
    return ways > 1 and size % ways == 0


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over data and fsdp; one sharding for every leaf of a batch."""
    return NamedSharding(mesh, BATCH)


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, P())


def abstract(tree: Any, shardings: Any) -> Any:
    """Shapes that carry their shardings: what a checkpoint is restored into."""
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings
    )


def share(mesh: Mesh) -> Share:
    """The rows of a batch that devices of this process hold.

    Not the n-th part of the n-th process: the grid of a pod need not follow its processes, and
    along `tensor` several of them hold the same rows.
    """
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    held = batch_sharding(mesh).addressable_devices_indices_map((ways,)).values()
    return Share(tuple(sorted({part.start or 0 for (part,) in held})), ways)


def put(batch: Any, mesh: Mesh) -> Any:
    """Global arrays from the rows that this process read; the transfer runs in the background.

    batch: a tree of NumPy arrays of its `share` of the rows; `None` stays.
    """
    sharding, own = batch_sharding(mesh), share(mesh)

    def one(rows: np.ndarray) -> jax.Array:
        size, left = divmod(rows.shape[0], len(own.blocks))
        if left:
            raise ConfigError(
                f"a batch of {rows.shape[0] * own.count // len(own.blocks)} does not divide over "
                f"data x fsdp = {own.count} devices"
            )
        if sharding.is_fully_addressable:
            return jax.device_put(rows, sharding)

        def of_device(place: tuple[slice, ...]) -> np.ndarray:
            first = own.blocks.index((place[0].start or 0) // size) * size
            return rows[first : first + size]

        shape = (size * own.count, *rows.shape[1:])
        return jax.make_array_from_callback(shape, sharding, of_device)

    return jax.tree.map(one, batch)
