"""Where activations live on the mesh: split over the batch, whole in every other dimension."""

import jax
from jax.sharding import AxisType, PartitionSpec

from m3i_jax.types import Array

BATCH_AXES = ("data", "fsdp")


def batch_sharded(x: Array) -> Array:
    """Constrains dimension 0 of `x` to the batch axes of the mesh; the values are unchanged.

    Stated at block boundaries, so that sharded weights are gathered and activations are not.
    Without a mesh, for axes that the compiler does not manage (inside `shard_map`), and for a
    batch that the axes do not divide (an initialisation, the rest of a data set), `x` passes.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return x
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    axes = tuple(axis for axis in BATCH_AXES if kinds.get(axis) == AxisType.Auto)
    devices = 1
    for axis in axes:
        devices *= mesh.shape[axis]
    if devices == 1 or x.shape[0] % devices:
        return x
    spec = PartitionSpec(axes, *(None,) * (x.ndim - 1))
    return jax.lax.with_sharding_constraint(x, spec)
