"""Where arrays live on the mesh: activations split by rows, weights whole where they are used.

With an axis `tensor`, columns of a layer are split, too (`parallel/tensor.py`). What devices sum
gradients in is said by a context of the trace, `summed_in`.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as P

from m3i_jax.types import Array

BATCH_AXES = ("data", "fsdp")
TENSOR = "tensor"

# with summed_in(dtype): gradients of weights are rounded to it before devices sum them; None = as
# they are. A context that JAX knows, as traces are kept and found again by it.
summed_in = jax.make_user_context(None)


def batch_sharded(x: Array, *, last: str | None = None) -> Array:
    """Constrains dimension 0 of `x` to the batch axes of the mesh; the values are unchanged.

    Stated at block boundaries, so that sharded weights are gathered and activations are not.
    Without a mesh, for axes that the compiler does not manage (inside `shard_map`), and for a
    batch that the axes do not divide (an initialisation, the rest of a data set), `x` passes; where
    there is an axis `tensor`, its rows are whole then.

    last: axis over which the last dimension is split.
    """
    axes = _axes(x.shape[0])
    if not axes and ways(TENSOR) == 1:
        return x
    return jax.lax.with_sharding_constraint(x, P(axes, *(None,) * (x.ndim - 2), last))


def whole(w: Array) -> Array:
    """Constrains a weight, or its gradient, to be whole on every device; the values are unchanged.

    Stated at the product, in its dtype: a weight that is split is gathered for it, and what devices
    sum of its gradient is one array. Left to itself the compiler cuts the product in windows, one
    for each device, and sends those round.
    """
    return w if managed() is None else jax.lax.with_sharding_constraint(w, P())


def by_rows(fn: Callable, *arrays: Array, last: str | None = None) -> Any:
    """fn(*arrays), where each device does its own rows of dimension 0 and nothing is exchanged.

    For functions that treat every row by itself: the compiler is not asked how to split them.
    Rows that `batch_sharded` leaves whole are done by all.

    last: axis over which the last dimension of (B, n, D) arrays is split, too.
    """
    if managed() is None:
        return fn(*arrays)
    axes = _axes(arrays[0].shape[0])
    spec = P(axes) if last is None else P(axes, None, last)
    # Without sums over devices there is nothing that the check could find.
    return jax.shard_map(fn, in_specs=spec, out_specs=spec, check_vma=False)(*arrays)


def managed() -> AbstractMesh | None:
    """The mesh of the trace, where it has several devices and the compiler splits all its axes."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1 or any(kind != AxisType.Auto for kind in mesh.axis_types):
        return None
    return mesh


def ways(*axes: str) -> int:
    """Devices along these axes of the mesh; 1 where the compiler manages none."""
    mesh = managed()
    return 1 if mesh is None else math.prod(mesh.shape.get(axis, 1) for axis in axes)


def _axes(batch: int) -> tuple[str, ...]:
    """The axes of the mesh over which so many rows are split; () where they are not."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    axes = tuple(axis for axis in BATCH_AXES if kinds.get(axis) == AxisType.Auto)
    devices = math.prod(mesh.shape[axis] for axis in axes)
    return () if devices == 1 or batch % devices else axes
