"""What optimisers do to gradients and updates, leaf by leaf: clip, scale, hold back.

Blocks are stacked along a leading depth axis; every transformation treats such a leaf as the
layers that it holds, each with a norm of its own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from m3i_jax import trees
from m3i_jax.training.sharding import STACKED
from m3i_jax.types import Array


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
    start: int, direction: Sequence[optax.GradientTransformation]
) -> optax.GradientTransformation:
    """The direction from step `start` on; until then as if the parameters had no gradient.

    They neither move nor decay, no moments gather, and none of the steps count (DINO's last layer).
    """
    made = optax.chain(*direction)
    return optax.conditionally_mask(made, lambda step: step >= start) if start else made


def _shrink(square: Array, limit: float) -> Array:
    """min(1, limit/√square), also where it is 0."""
    return jnp.where(square > limit**2, limit * jax.lax.rsqrt(jnp.maximum(square, limit**2)), 1.0)


def _axes(path: str, leaf: Array) -> tuple[int, ...]:
    """The axes of a leaf over which a norm goes: all but the depth of a stack."""
    return tuple(range(1 if STACKED.search(path) else 0, leaf.ndim))
