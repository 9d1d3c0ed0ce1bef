"""Tables of classes and of prototypes: a device has its share of the rows, and nobody all of them.

Rows of a batch are compared with all rows of a table. The table stays where it is, over fsdp and
tensor; the batch, which is small beside it, is split over data alone for that product, so that a
device makes the products of its images with its classes: (B / data, M / (fsdp · tensor)).
"""

import jax
from jax.sharding import PartitionSpec as P

from m3i_jax.parallel import sharding
from m3i_jax.parallel.constrain import managed
from m3i_jax.types import Array


def rows(table: Array) -> Array:
    """Constrains a table (M, D), or its gradient, to lie as it is kept: `sharding.of_rows`."""
    axes = _axes(table)
    return jax.lax.with_sharding_constraint(table, P(axes, None)) if axes else table


def beside(x: Array, table: Array) -> Array:
    """Constrains rows (B, ..., D), or their gradient, to where a table (M, D) wants them."""
    return jax.lax.with_sharding_constraint(x, P(_data(x))) if _axes(table) else x


def compared(products: Array, table: Array) -> Array:
    """Constrains the products (B, ..., M) of both, or their gradient."""
    if (axes := _axes(table)) is None:
        return products
    where = P(_data(products), *(None,) * (products.ndim - 2), axes)
    return jax.lax.with_sharding_constraint(products, where)


def _axes(table: Array) -> str | tuple[str, ...] | None:
    """The axes that split its rows."""
    mesh = managed()
    if mesh is None or not {"fsdp", "tensor"} <= set(mesh.shape):
        return None
    return sharding.of_rows(table.shape, mesh)


def _data(x: Array) -> str | None:
    return "data" if x.shape[0] % managed().shape["data"] == 0 else None
