"""L-BFGS as one compiled program: it stays on the device, and any precision can go on with it.

Liu & Nocedal 1989; Algorithms 7.4 and 7.5 of Nocedal & Wright 2006.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from m3i_jax.types import Array

MEMORY = 20  # pairs of steps and changes of the gradient that are kept
TRIALS = 12  # lengths of a step that are tried
DECREASE, CURVATURE = 1e-4, 0.9  # c1 and c2 of Wolfe's conditions

# (point, data) -> (value, grad, what is compared with the tolerance)
Objective = Callable[[Array, Any], tuple[Array, Array, Array]]


class Search(NamedTuple):
    """Where a search is.

    point, grad: (...,).  value: there; infinite before it is known.
    size: of the gradient, as the objective measures it.
    moves, bends: (MEMORY, ...) last steps, and how the gradient changed; the newest last.
    kept: how many of them there are.  count: iterations so far.
    length, tried: of the next step, in directions of L-BFGS, and lengths that were too long.
    """

    point: Float[Array, "..."]
    value: Float[Array, ""]
    grad: Float[Array, "..."]
    size: Float[Array, ""]
    moves: Float[Array, "memory ..."]
    bends: Float[Array, "memory ..."]
    kept: Int[Array, ""]
    count: Int[Array, ""]
    length: Float[Array, ""]
    tried: Int[Array, ""]

    @property
    def stuck(self) -> Array:
        """Whether no step is lower: the point is as low as the precision can tell."""
        return self.tried >= TRIALS


def begin(point: np.ndarray, dtype: Any, *, old: Search | None = None) -> Search:
    """A search from `point`, in a precision; with what an `old` one has learnt."""
    none = np.zeros((MEMORY, *point.shape))
    moves, bends, kept, count = none, none, 0, 0
    if old is not None:
        moves, bends, kept, count = old.moves, old.bends, old.kept, old.count
    real = lambda x: jnp.asarray(np.asarray(x, dtype))  # noqa: E731
    counts = [jnp.asarray(np.int32(x)) for x in (kept, count)]
    start = real(point), real(np.inf), real(np.zeros_like(point)), real(np.inf)
    return Search(*start, real(moves), real(bends), *counts, real(1.0), jnp.asarray(np.int32(0)))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def advance(
    objective: Objective, search: Search, data: Any, *, tolerance: Array, limit: Array
) -> Search:
    """Iterates until `size` is at most `tolerance`, or `limit` iterations are done in all.

    Args:
      objective: (point, data) -> (value, grad, size), convex; the same function each time, as it
        is compiled for it.
      search: of `begin` or of an earlier call; not to be used again.
      data: any arrays.
    """

    def going(search: Search) -> Array:
        wanted = (search.size > tolerance) & (search.count < limit) & ~search.stuck
        return wanted | jnp.isinf(search.value)

    return jax.lax.while_loop(going, lambda search: _try(objective, search, data), search)


def _try(objective: Objective, search: Search, data: Any) -> Search:
    """Tries one step along the direction of L-BFGS, of the length that is next."""
    direction = -_inverse_times(search, search.grad)  # 0 where the grad is not yet known
    move = search.length * direction
    value, grad, size = objective(search.point + move, data)
    downhill, along = jnp.vdot(search.grad, direction), jnp.vdot(grad, direction)
    # What rounding may do to a value: within it, only gradients tell whether a step was good.
    noise = 4 * jnp.finfo(value.dtype).eps * (1 + jnp.abs(value))
    flat = jnp.abs(along) <= -CURVATURE * downhill
    less = value <= search.value + DECREASE * search.length * downhill
    seen = -search.length * downhill > noise
    good = jnp.isinf(search.value) | (less & seen) | (flat & (value <= search.value + noise))
    first = jnp.isinf(search.value)
    bend = grad - search.grad
    bent = good & ~first & (jnp.vdot(move, bend) > 0)
    shorter = search.length * jnp.clip(downhill / (downhill - along), 0.1, 0.5)
    push = lambda rows, row: jnp.where(bent, jnp.concatenate([rows[1:], row[None]]), rows)  # noqa: E731
    keep = lambda new, old: jnp.where(good, new, old)  # noqa: E731
    return Search(
        keep(search.point + move, search.point),
        keep(value, search.value),
        keep(grad, search.grad),
        keep(size, search.size),
        push(search.moves, move),
        push(search.bends, bend),
        jnp.minimum(search.kept + bent, MEMORY),
        search.count + (good & ~first),
        keep(jnp.ones_like(value), shorter),
        jnp.where(good, 0, search.tried + 1),
    )


def _inverse_times(search: Search, grad: Array) -> Array:
    """The inverse of the curvature, as far as it is known, times a grad: the two loops."""
    products = jax.vmap(jnp.vdot)(search.moves, search.bends)
    inverse = jnp.where(products > 0, 1 / jnp.where(products > 0, products, 1), 0.0)

    def back(i, state):
        grad, shares = state
        i = MEMORY - 1 - i
        share = inverse[i] * jnp.vdot(search.moves[i], grad)
        return grad - share * search.bends[i], shares.at[i].set(share)

    grad, shares = jax.lax.fori_loop(0, search.kept, back, (grad, jnp.zeros_like(inverse)))
    last = jnp.vdot(search.bends[-1], search.bends[-1])
    grad = grad * jnp.where(search.kept > 0, products[-1] / jnp.where(last > 0, last, 1), 1.0)

    def forth(i, grad):
        share = inverse[i] * jnp.vdot(search.bends[i], grad)
        return grad + (shares[i] - share) * search.moves[i]

    return jax.lax.fori_loop(MEMORY - search.kept, MEMORY, forth, grad)
