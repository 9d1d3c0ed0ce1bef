"""Soft assignments to prototypes, targets of DINO, SwAV, MSN; (..., K) float32, rows sum to 1."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32

from m3i_jax.losses.prediction import NEVER
from m3i_jax.types import Array, Scalar

__all__ = [
    "balanced",
    "centred",
    "sharpen",
    "sinkhorn",
]


def sharpen(
    probabilities: Float[Array, "*positions prototypes"], power: float
) -> Float32[Array, "*positions prototypes"]:
    """p^power, renormalised: (..., K) -> (..., K).

    For p = softmax(a/τ) it is softmax(power·a/τ); MSN's power is 1/0.25 (Assran et al. 2022,
    https://arxiv.org/abs/2204.07141).
    """
    p = jnp.asarray(probabilities, jnp.float32)
    # A common factor changes nothing but what underflows.
    largest = jax.lax.stop_gradient(p.max(-1, keepdims=True))
    return _share((p / jnp.where(largest > 0, largest, 1.0)) ** power, (-1,))


def sinkhorn(
    probabilities: Float[Array, "*positions prototypes"],
    *,
    iterations: int = 3,
    per_position: bool = False,
    where: Bool[Array, "*positions"] | None = None,
) -> Float32[Array, "*positions prototypes"]:
    """Moves assignments towards equal use of all prototypes: (..., K) -> (..., K).

    In turn, each prototype's assignments are scaled to the same sum over all leading positions of
    the global batch, and each position's to sum 1, which holds at the end. SwAV (Caron et al.
    2020, §3.1, https://arxiv.org/abs/2006.09882); MSN has it behind `sharpen`. A prototype that
    nobody chooses stays at 0.

    per_position: sums are over the first axis alone: prototypes are used alike at every position
      (CAPI, Darcet et al. 2025, https://arxiv.org/abs/2502.08769).
    where: the positions that count; the others are assigned by what these have found.
    """
    p = jnp.asarray(probabilities, jnp.float32)
    axes, counts = _samples(p, per_position), _column(where)
    for _ in range(iterations):
        p = _share(p, axes, counts)
        p = _share(p, (-1,))
    return p


def balanced(
    logits: Float[Array, "*positions prototypes"],
    *,
    temperature: Scalar,
    iterations: int = 3,
    per_position: bool = False,
    where: Bool[Array, "*positions"] | None = None,
) -> Float32[Array, "*positions prototypes"]:
    """`sinkhorn` of exp(a/τ), in one round or more: (..., K) -> (..., K).

    The first round is of logarithms: no exponential leaves float32, however small τ is. SwAV (Caron
    et al. 2020, Algorithm 1, https://arxiv.org/abs/2006.09882), DINOv2.
    """
    a = jnp.asarray(logits, jnp.float32) / temperature
    axes, counts = _samples(a, per_position), _column(where)
    counted = a if counts is None else jnp.where(counts, a, NEVER)
    p = jax.nn.softmax(a - jax.nn.logsumexp(counted, axes, keepdims=True), axis=-1)
    return sinkhorn(p, iterations=iterations - 1, per_position=per_position, where=where)


def centred(
    logits: Float[Array, "*positions prototypes"],
    centre: Float[Array, " prototypes"],
    *,
    temperature: Scalar,
) -> Float32[Array, "*positions prototypes"]:
    """softmax((a − c)/τ): (..., K), (K,) -> (..., K).

    DINO's teacher: the running mean c of its logits keeps any prototype from winning always
    (Caron et al. 2021, Eq. 1 and 4, https://arxiv.org/abs/2104.14294).
    """
    logits, centre = jnp.asarray(logits, jnp.float32), jnp.asarray(centre, jnp.float32)
    centre = centre.reshape((1,) * (logits.ndim - 1) + (-1,))
    return jax.nn.softmax((logits - centre) / temperature, axis=-1)


def _samples(x: Float32[Array, "*shape"], per_position: bool) -> tuple[int, ...]:
    """The axes of what is assigned: all but that of the prototypes, or the first."""
    return (0,) if per_position else tuple(range(x.ndim - 1))


def _column(where: Bool[Array, "*positions"] | None) -> Bool[Array, "*positions 1"] | None:
    """(...) -> (..., 1), beside the prototypes."""
    return None if where is None else where[..., None]


def _share(
    x: Float32[Array, "*shape"], axes: tuple[int, ...], where: Bool[Array, "..."] | None = None
) -> Float32[Array, "*shape"]:
    """x / Σx over the axes, of what counts; 0 where all is 0."""
    total = x.sum(axes, keepdims=True, where=where)
    return x / jnp.where(total > 0, total, 1.0)
