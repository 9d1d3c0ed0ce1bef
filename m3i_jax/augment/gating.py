"""Samples that do not draw an operation do not pay for it."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Shaped

from m3i_jax.types import Array

PARTS = 16  # of a batch: an operation is paid for in steps of so many of its samples

Rows = Shaped[Array, "batch ..."]
ByRows = Callable[..., Rows]  # (fn, *arrays) -> fn(*arrays), a share of the rows on each device


def at_once(fn: Callable, *arrays: Rows) -> Rows:
    """fn(*arrays): the `ByRows` of a single device."""
    return fn(*arrays)


def only(
    chosen: Bool[Array, " batch"],
    fn: Callable,
    x: Rows,
    *arguments: Rows,
    by_rows: ByRows = at_once,
) -> Rows:
    """fn(x, *arguments) in the rows that are chosen, x in the others, which are not computed.

    The chosen rows are brought together and computed a sixteenth of the batch at a time, so that
    n of B cost ⌈16 n / B⌉ sixteenths. `fn` treats every row by itself and keeps the shape of `x`.

    by_rows: (fn, *arrays), how a mesh splits the rows. A device brings together its own.
    """
    return by_rows(lambda *rows: _only(fn, *rows), chosen, x, *arguments)


def _only(fn: Callable, chosen: Array, x: Array, *arguments: Array) -> Array:
    """As `only`, on one device."""
    batch = chosen.shape[0]
    part = math.ceil(batch / PARTS)
    # Behind the last row stands none: reading there gives the last row, writing there nothing.
    order = jnp.argsort(~chosen, stable=True).astype(jnp.int32)
    order = jnp.pad(order, (0, -batch % part), constant_values=batch)

    def change(number, x):
        rows = jax.lax.dynamic_slice_in_dim(order, number * part, part)
        taken = [jnp.take(array, rows, axis=0, mode="clip") for array in (chosen, x, *arguments)]
        wanted = taken[0].reshape(-1, *(1,) * (x.ndim - 1))
        changed = jnp.where(wanted, fn(*taken[1:]).astype(x.dtype), taken[1])
        return x.at[rows].set(changed, mode="drop", unique_indices=True)

    def one(x, number):
        wanted = number * part < chosen.sum()
        return jax.lax.cond(wanted, change, lambda _, x: x, number, x), None

    # All parts by number, each a branch: how many there are at most is known, as planning asks.
    rounds = jnp.arange(-(-batch // part), dtype=jnp.int32)
    return jax.lax.scan(one, x, rounds)[0]
