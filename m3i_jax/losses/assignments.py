"""Soft assignments to prototypes, the targets of DINO and MSN; (..., K) float32, rows sum to 1."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from m3i_jax.types import Array, Scalar

__all__ = [
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
    probabilities: Float[Array, "*positions prototypes"], *, iterations: int = 3
) -> Float32[Array, "*positions prototypes"]:
    """Moves assignments towards equal use of all prototypes: (..., K) -> (..., K).

    In turn, each prototype's assignments are scaled to the same sum over all leading positions of
    the global batch, and each position's to sum 1, which holds at the end. SwAV (Caron et al.
    2020, §3.1, https://arxiv.org/abs/2006.09882); MSN has it behind `sharpen`. A prototype that
    nobody chooses stays at 0.
    """
    p = jnp.asarray(probabilities, jnp.float32)
    for _ in range(iterations):
        p = _share(p, tuple(range(p.ndim - 1)))
        p = _share(p, (-1,))
    return p


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


def _share(x: Float32[Array, "*shape"], axes: tuple[int, ...]) -> Float32[Array, "*shape"]:
    """x / Σx over the axes; 0 where all is 0."""
    total = x.sum(axes, keepdims=True)
    return x / jnp.where(total > 0, total, 1.0)
