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

__all__ = ["Assigned", "assign"]

LARGEST = 1e30  # of a cost; sums of more leave float32


class Assigned(NamedTuple):
    """Who belongs to whom.

    query: (..., G) the query of each object, 0 of padding.
    object: (..., Q) the object of each query, −1 = none.
    """

    query: Int32[Array, "*positions objects"]
    object: Int32[Array, "*positions queries"]


class _State(NamedTuple):
    """What has been assigned, its prices, and the search of one object more for a query.

    Prices are the dual variables: cost − u − v is at least 0, and 0 of pairs.
    """

    u: Float32[Array, " objects"]
    v: Float32[Array, " queries"]
    query: Int32[Array, " objects"]  # −1 = none yet
    object: Int32[Array, " queries"]
    start: Int32[Array, ""]  # the object that looks for a query, −1 = nobody does
    row: Int32[Array, ""]  # the object that the search has come to
    lowest: Float32[Array, ""]  # how far that is
    reached: Bool[Array, " queries"]
    far: Float32[Array, " queries"]  # how far each query is, along the best path so far
    before: Int32[Array, " queries"]  # the object that this path comes from
    end: Int32[Array, ""]  # the query that the object before it moves to, −1 = still looking


def assign(
    cost: Float[Array, "*positions queries objects"], present: Bool[Array, "*positions objects"]
) -> Assigned:
    """The one-to-one assignment of least cost; (..., Q, G), (..., G) -> (..., G) and (..., Q).

        argmin_σ  Σ_{j present} cost[σ(j), j],   σ(j) ≠ σ(k)

    Each object that is present gets a query. Sums are of float32: the one that is found is the
    least but for rounding. A cost that is NaN, infinite, or beyond 1e30 is worse than all others
    together: there are as few such pairs as can be. No gradient passes.

    The set with the longest search sets the pace of all, and devices that have rows of a batch each
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
    if not objects:
        places = cost.shape[:-2]
        return Assigned(
            jnp.zeros((*places, 0), jnp.int32), jnp.full((*places, queries), -1, jnp.int32)
        )
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
    """One set of objects, in steps of one loop, so that no set waits for the searches of others."""

    def step(state):
        looked, moved = _looked(cost, state), _moved(present, state)
        return jax.tree.map(lambda x, y: jnp.where(state.end < 0, x, y), looked, moved)

    state = jax.lax.while_loop(lambda state: state.start >= 0, step, _greedy(cost, present))
    return Assigned(jnp.maximum(state.query, 0), state.object)


def _greedy(cost: Float32[Array, "objects queries"], present: Bool[Array, " objects"]) -> _State:
    """Each object has its best query, if it is the first who wants it: most have, of few."""
    objects, queries = cost.shape
    number = jnp.arange(objects, dtype=jnp.int32)
    best = cost.argmin(1).astype(jnp.int32)
    first = jnp.full(queries, objects, jnp.int32).at[best].min(jnp.where(present, number, objects))
    query = jnp.where(present & (first[best] == number), best, -1)
    owner = jnp.where(first < objects, first, -1)
    return _next(cost.min(1), jnp.zeros(queries, jnp.float32), query, owner, present)


def _next(
    u: Float32[Array, " objects"],
    v: Float32[Array, " queries"],
    query: Int32[Array, " objects"],
    owner: Int32[Array, " queries"],
    present: Bool[Array, " objects"],
) -> _State:
    """The search of the first object that has no query begins."""
    waiting = present & (query < 0)
    start = jnp.where(waiting.any(), waiting.argmax(), -1).astype(jnp.int32)
    return _State(
        u,
        v,
        query,
        owner,
        start,
        row=start,
        lowest=jnp.float32(0),
        reached=jnp.zeros(v.shape, bool),
        far=jnp.full(v.shape, jnp.inf, jnp.float32),
        before=jnp.zeros(v.shape, jnp.int32),
        end=jnp.int32(-1),
    )


def _looked(cost: Float32[Array, "objects queries"], state: _State) -> _State:
    """One step of Dijkstra's search: on to the nearest query, and to the object that has it."""
    far = state.lowest + (cost[state.row] - state.u[state.row] - state.v)
    nearer = ~state.reached & (far < state.far)
    far = jnp.where(nearer, far, state.far)
    before = jnp.where(nearer, state.row, state.before)
    left = jnp.where(state.reached, jnp.inf, far)
    lowest = left.min()
    # Of queries as near as each other one that nobody has, so that the search ends.
    rank = jnp.where(left == lowest, jnp.where(state.object < 0, 2, 1), 0)
    at = rank.argmax().astype(jnp.int32)
    reached, owner = state.reached.at[at].set(True), state.object[at]
    found = owner < 0
    # Once it has ended, prices change so that all costs along the path are 0.
    change = jnp.where(found & reached, lowest - far, 0.0)
    own = jnp.where(state.query >= 0, change[state.query], 0.0)
    u = (state.u + own).at[state.start].add(jnp.where(found, lowest, 0.0))
    return state._replace(
        u=u,
        v=state.v - change,
        row=owner,
        lowest=lowest,
        reached=reached,
        far=far,
        before=before,
        end=jnp.where(found, at, -1),
    )


def _moved(present: Bool[Array, " objects"], state: _State) -> _State:
    """One object along the path moves to the query at its end; the query that it had is the end."""
    mover = state.before[state.end]
    query, owner = state.query.at[mover].set(state.end), state.object.at[state.end].set(mover)
    last = mover == state.start
    moved = state._replace(query=query, object=owner, end=state.query[mover])
    after = _next(state.u, state.v, query, owner, present)
    return jax.tree.map(lambda x, y: jnp.where(last, x, y), after, moved)
