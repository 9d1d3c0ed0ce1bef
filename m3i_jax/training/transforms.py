"""What optimisers do to gradients and updates, leaf by leaf: clip, scale, hold back.

Blocks are stacked along a leading depth axis; every transformation treats such a leaf as the
layers that it holds, each with a norm of its own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from m3i_jax import normalize, trees
from m3i_jax.parallel.sharding import STACKED
from m3i_jax.types import Array, Scalar


def clip_all(limit: float) -> optax.GradientTransformationExtraArgs:
    """g · min(1, limit/‖g‖) with one norm of all parameters; `update` takes it, if it is known.

    One factor and no division of each number, as `optax.clip_by_global_norm` has it: a division is
    dear enough for XLA to write its results to memory for the two moments that read them.
    """

    def update(updates, state, params=None, *, norm=None, **others):
        norm = optax.tree.norm(updates) if norm is None else norm
        scale = _shrink(jnp.square(norm), limit)
        return jax.tree.map(lambda u: u * scale, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def clip_each(limit: float) -> optax.GradientTransformation:
    """g · min(1, limit/‖g‖) with the norm of each parameter, of each layer of a stack (DINO)."""

    def update(updates, params=None):
        return trees.map_with_name(
            lambda path, u: (
                u * _shrink(jnp.sum(jnp.square(u), _axes(path, u), keepdims=True), limit)
            ),
            updates,
        )

    return optax.stateless(update)


def clip_parts(limit: float, parts: Sequence[re.Pattern]) -> optax.GradientTransformation:
    """g · min(1, limit/‖g‖) with one norm for each part of the tree; what is in none is let be.

    A parameter belongs to the first pattern found in its path (MSN clips its encoder, DINOv2 each
    module).
    """

    def update(updates, params=None):
        part = lambda path: next((i for i, p in enumerate(parts) if p.search(path)), None)  # noqa: E731
        squares = [jnp.zeros(())] * len(parts)
        for path, u in trees.named_leaves(updates):
            if part(path) is not None:
                squares[part(path)] += jnp.sum(jnp.square(u))
        scales = [_shrink(square, limit) for square in squares]
        return trees.map_with_name(
            lambda path, u: u if part(path) is None else u * scales[part(path)], updates
        )

    return optax.stateless(update)


def scale_by_path(scales: Mapping[str, float | Array]) -> optax.GradientTransformation:
    """Multiplies updates by the factor of their path: a number, or one per layer of a stack."""

    def update(updates, params=None):
        def one(path, u):
            factor = jnp.asarray(scales.get(path, 1.0), u.dtype)
            return u * factor.reshape(factor.shape + (1,) * (u.ndim - factor.ndim))

        return trees.map_with_name(one, updates)

    return optax.stateless(update)


def scale_by_rates(
    rate: Callable[[Array], Array], steady: float, pattern: re.Pattern | None
) -> optax.GradientTransformation:
    """−rate(step) · u, and −steady · u where the path has the pattern (SimSiam's predictor)."""
    if pattern is None:
        return optax.scale_by_learning_rate(rate)

    def init(params):
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update(updates, state, params=None):
        now = rate(state.count)
        moved = trees.map_with_name(
            lambda path, u: -(steady if pattern.search(path) else now) * u, updates
        )
        return moved, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


def scale_by_trust(trust: float, *, applies: Callable[[Any], Any]) -> optax.GradientTransformation:
    """LARS: u · trust·‖θ‖/‖u‖ per layer where `applies(params)`; 1 where either norm is 0."""

    def update(updates, params):
        def one(path, u, p, on):
            if not on:
                return u
            norm = lambda x: jnp.sqrt(jnp.sum(jnp.square(x), _axes(path, x), keepdims=True))  # noqa: E731
            top, bottom = norm(p), norm(u)
            usable = (top > 0) & (bottom > 0)
            return u * jnp.where(usable, trust * top / jnp.where(usable, bottom, 1.0), 1.0)

        names = trees.map_with_name(lambda path, _: path, updates)
        return jax.tree.map(one, names, updates, params, applies(params))

    return optax.stateless(update)


def starting_at(
    start: int | Scalar, direction: Sequence[optax.GradientTransformation]
) -> optax.GradientTransformation:
    """The direction from step `start` on; until then as if the parameters had no gradient.

    They neither move nor decay, no moments gather, and none of the steps count (DINO's last layer).
    """
    chained = optax.chain(*direction)
    return optax.conditionally_mask(chained, lambda step: step >= start)


class TraceOfSteps(NamedTuple):
    """Momentum whose parts have been multiplied by the rate of their step, and the step."""

    count: Array
    trace: Any


def trace_of_steps(rate: Callable[[Array], Array], decay: float) -> optax.GradientTransformation:
    """v ← decay·v + η·u, of which v/η is passed on for the rate to come: θ ← θ − v (SimCLR).

    Where η is 0 there is no step, whatever v is.
    """

    def init(params):
        zeros = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), params)
        return TraceOfSteps(jnp.zeros((), jnp.int32), zeros)

    def update(updates, state, params=None):
        now = rate(state.count)
        trace = jax.tree.map(lambda v, u: decay * v + now * u, state.trace, updates)
        inverse = jnp.where(now == 0, 0.0, 1.0 / jnp.where(now == 0, 1.0, now))
        steps = jax.tree.map(lambda v: v * inverse, trace)
        return steps, TraceOfSteps(optax.safe_increment(state.count), trace)

    return optax.GradientTransformation(init, update)


def within(limits: Sequence[tuple[re.Pattern, float, float]]) -> optax.GradientTransformation:
    """Steps that end between the limits of their path: clip(θ + u) − θ (CLIP's temperature)."""

    def update(updates, params):
        def one(path, u, p):
            ends = next(((a, b) for pattern, a, b in limits if pattern.search(path)), None)
            return u if ends is None else jnp.clip(p + u, *ends) - p

        names = trees.map_with_name(lambda path, _: path, updates)
        return jax.tree.map(one, names, updates, params)

    return optax.stateless(update)


def unit_rows(pattern: re.Pattern) -> optax.GradientTransformation:
    """Steps behind which the rows of what the pattern finds have length 1 (SwAV's prototypes)."""

    def update(updates, params):
        def one(path, u, p):
            return normalize.unit(p + u) - p if pattern.search(path) else u

        names = trees.map_with_name(lambda path, _: path, updates)
        return jax.tree.map(one, names, updates, params)

    return optax.stateless(update)


def _shrink(square: Array, limit: float) -> Array:
    """min(1, limit/√square), also where it is 0."""
    return jnp.where(square > limit**2, limit * jax.lax.rsqrt(jnp.maximum(square, limit**2)), 1.0)


def _axes(path: str, leaf: Array) -> tuple[int, ...]:
    """The axes of a leaf over which a norm goes: all but the depth of a stack."""
    return tuple(range(1 if STACKED.search(path) else 0, leaf.ndim))
