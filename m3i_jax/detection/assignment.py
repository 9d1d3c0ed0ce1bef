"""Assignment: each object to a query of its own, so that the sum of all costs is the least.

Set prediction matches what a network says with what is there (DETR, Carion et al. 2020, Eq. 1,
https://arxiv.org/abs/2005.12872), one to one; the sum over pairs is minimised by shortest
augmenting paths (Jonker and Volgenant 1987, https://doi.org/10.1007/BF02278710; for more columns
than rows as in Crouse 2016, https://doi.org/10.1109/TAES.2016.140952), on the device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int32

from m3i_jax.types import Array

LARGEST = 1e30  # of a cost; sums of more leave float32


class Assigned(NamedTuple):
    """Who belongs to whom.

    query: (..., G) the query of each object, 0 of padding.
    object: (..., Q) the object of each query, −1 = none.
    """

    query: Int32[Array, "*positions objects"]
    object: Int32[Array, "*positions queries"]


class _Prices(NamedTuple):
    """What has been assigned so far, and the dual variables: c_ij − u_i − v_j ≥ 0, 0 of pairs."""

    u: Float32[Array, " objects"]
    v: Float32[Array, " queries"]
    query: Int32[Array, " objects"]  # −1 = none yet
    object: Int32[Array, " queries"]


class _Search(NamedTuple):
    """The tree of shortest paths from an object that has no query yet."""

    row: Int32[Array, ""]  # the object that is looked from
    lowest: Float32[Array, ""]  # how far it is
    reached: Bool[Array, " queries"]
    far: Float32[Array, " queries"]  # how far each query is, along the best path so far
    before: Int32[Array, " queries"]  # the object that this path comes from
    end: Int32[Array, ""]  # a query that nobody has, −1 = none yet


def assign(
    cost: Float[Array, "*positions queries objects"], present: Bool[Array, "*positions objects"]
) -> Assigned:
    """The one-to-one assignment of least cost; (..., Q, G), (..., G) -> (..., G) and (..., Q).

        argmin_σ  Σ_{j present} cost[σ(j), j],   σ(j) ≠ σ(k)

    Each object that is present gets a query. Sums are of float32: the one that is found is the
    least but for rounding. A cost that is NaN, infinite, or beyond 1e30 is worse than all others
    together: there are as few such pairs as can be. No gradient passes.

    On its way the longest of all sets sets the pace, and devices that have rows of a batch each
    would ask all others at every step: `parallel.by_rows` lets each do its own.

    Args:
      cost: of every query with every object, whatever it is of padding.
      present: which objects are no padding.

    Raises:
      ValueError: there are more places for objects than queries.
    """
    queries, objects = cost.shape[-2:]
    if objects > queries:
        raise ValueError(f"{queries} queries for {objects} objects; expected one for each at least")
    cost = jnp.swapaxes(jax.lax.stop_gradient(jnp.asarray(cost, jnp.float32)), -1, -2)
    flat = _tamed(cost, present).reshape(-1, objects, queries)
    one = jax.vmap(_assigned)(flat, present.reshape(-1, objects))
    places = cost.shape[:-2]
    return Assigned(one.query.reshape(*places, objects), one.object.reshape(*places, queries))


def _tamed(
    cost: Float32[Array, "*positions objects queries"], present: Bool[Array, "*positions objects"]
) -> Float32[Array, "*positions objects queries"]:
    """Costs without what is not finite: one of these is more than all that is finite together."""
    finite = jnp.isfinite(cost) & (jnp.abs(cost) <= LARGEST)
    counted = finite & present[..., None]
    least, most = (
        fn(jnp.where(counted, cost, 0.0), axis=(-2, -1), keepdims=True) for fn in (jnp.min, jnp.max)
    )
    worst = most + (most - least) * present.sum(-1, keepdims=True).astype(jnp.float32)[..., None]
    return jnp.where(finite, cost, worst + 1.0)


def _assigned(
    cost: Float32[Array, "objects queries"], present: Bool[Array, " objects"]
) -> Assigned:
    """One set of objects."""
    waiting = lambda prices: present & (prices.query < 0)  # noqa: E731
    prices = jax.lax.while_loop(
        lambda prices: waiting(prices).any(),
        lambda prices: _augmented(cost, prices, waiting(prices)),
        _greedy(cost, present),
    )
    return Assigned(jnp.maximum(prices.query, 0), prices.object)


def _greedy(cost: Float32[Array, "objects queries"], present: Bool[Array, " objects"]) -> _Prices:
    """Each object has its best query, if it is the first who wants it: most have, of few."""
    objects, queries = cost.shape
    number = jnp.arange(objects, dtype=jnp.int32)
    best = cost.argmin(1).astype(jnp.int32)
    first = jnp.full(queries, objects, jnp.int32).at[best].min(jnp.where(present, number, objects))
    query = jnp.where(present & (first[best] == number), best, -1)
    owner = jnp.where(first < objects, first, -1)
    return _Prices(cost.min(1), jnp.zeros(queries, jnp.float32), query, owner)


def _augmented(
    cost: Float32[Array, "objects queries"], prices: _Prices, waiting: Bool[Array, " objects"]
) -> _Prices:
    """One object more has a query: those along the shortest path to a free one move by one."""
    queries = cost.shape[1]
    row = waiting.argmax().astype(jnp.int32)
    # A set in which nobody waits any more is here while others of the batch do. It looks for
    # nothing: where every query is taken, it would look for ever.
    done = ~waiting.any()
    found = jax.lax.while_loop(
        lambda search: search.end < 0,
        lambda search: _looked(cost, prices, search),
        _Search(
            row,
            jnp.float32(0),
            jnp.zeros(queries, bool),
            jnp.full(queries, jnp.inf, jnp.float32),
            jnp.zeros(queries, jnp.int32),
            jnp.where(done, 0, -1).astype(jnp.int32),
        ),
    )
    nearer = jnp.where(found.reached, found.lowest - found.far, 0.0)
    own = jnp.where(prices.query >= 0, nearer[prices.query], 0.0)
    u = (prices.u + own).at[row].add(found.lowest)

    def move(carry):
        query, owner, end, _ = carry
        mover = found.before[end]
        return query.at[mover].set(end), owner.at[end].set(mover), query[mover], mover == row

    start = (prices.query, prices.object, found.end, done)
    query, owner, _, _ = jax.lax.while_loop(lambda carry: ~carry[3], move, start)
    return _Prices(u, prices.v - nearer, query, owner)


def _looked(cost: Float32[Array, "objects queries"], prices: _Prices, search: _Search) -> _Search:
    """One step of Dijkstra's search: on to the nearest query, and to the object that has it."""
    far = search.lowest + (cost[search.row] - prices.u[search.row] - prices.v)
    nearer = ~search.reached & (far < search.far)
    far = jnp.where(nearer, far, search.far)
    before = jnp.where(nearer, search.row, search.before)
    left = jnp.where(search.reached, jnp.inf, far)
    lowest = left.min()
    # Of queries as near as each other one that nobody has, so that the search ends.
    rank = jnp.where(left == lowest, jnp.where(prices.object < 0, 2, 1), 0)
    at = rank.argmax().astype(jnp.int32)
    owner = prices.object[at]
    end = jnp.where(owner < 0, at, -1)
    return _Search(owner, lowest, search.reached.at[at].set(True), far, before, end)
