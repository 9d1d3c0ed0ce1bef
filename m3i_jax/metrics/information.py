"""Mutual information in nats: what losses guarantee of it, and what Gaussians have.

M3I (Su et al. 2023, Eq. 2, https://arxiv.org/abs/2211.09807).
"""

import jax.numpy as jnp
from jaxtyping import Float, Float32, Real

from m3i_jax import normalize
from m3i_jax.metrics.representations import centred
from m3i_jax.types import Array


def information_bound(
    loss: Float[Array, "*shape"], candidates: int | Real[Array, ""]
) -> Float[Array, "*shape"]:
    """log M − loss: nats of mutual information that InfoNCE over M candidates guarantees.

    Any shape; `candidates` M may be traced. The bound holds for the mean over the data, with
    equally likely candidates, and cannot exceed log M.
    """
    return jnp.log(jnp.asarray(candidates, jnp.float32)) - loss


def gaussian_information(
    prediction: Float[Array, "*positions dim"], target: Float[Array, "*positions dim"]
) -> tuple[Float32[Array, ""], Float32[Array, ""]]:
    """Eq. 2 of M3I for Gaussians, nats per dimension: (..., D), (..., D) -> two scalars.

        E log P̂(z|ẑ) = −½ (ln 2πe + ln det Σ_e / D),     H(z) = ½ (ln 2πe + ln det Σ_z / D)

    Their sum estimates I(z; ẑ) per dimension. Σ_z is the covariance of the target; Σ_e, the second
    moments of z − ẑ, makes P̂ the best Gaussian around the prediction. To both 1e-4 of the mean
    variance of z is added in every direction (1e-6 of (Σ λ⁴)^¼ if that is more, which takes less
    than 15 of 768 directions), so that both stay finite where targets fill only some dimensions.
    """
    width = target.shape[-1]
    z = jnp.asarray(target, jnp.float32).reshape(-1, width)
    error = z - jnp.asarray(prediction, jnp.float32).reshape(-1, width)
    z = centred(z)
    # Each in a unit of its own, a power of two, as squares leave float32's range.
    units = [normalize.magnitude(x, axis=None).squeeze() for x in (error, z)]
    units = jnp.maximum(units[0], 2.0**-40 * units[1]), units[1]
    moments = [_moments(x / unit) for x, unit in zip((error, z), units, strict=True)]
    least = 1e-4 * jnp.maximum(jnp.trace(moments[1]) / width, 1e-30)
    logs = [
        2.0 * jnp.log(unit) + _log_volume(x, least * jnp.square(units[1] / unit))
        for x, unit in zip(moments, units, strict=True)
    ]
    constant = jnp.log(2.0 * jnp.pi * jnp.e)
    return -0.5 * (constant + logs[0]), 0.5 * (constant + logs[1])


def _moments(z: Float32[Array, "rows dim"]) -> Float32[Array, "dim dim"]:
    """Second moments (D, D) of rows (N, D)."""
    return jnp.matmul(z.T, z, precision="highest") / z.shape[0]


def _log_volume(
    moments: Float32[Array, "dim dim"], least: Float32[Array, ""]
) -> Float32[Array, ""]:
    """ln det / D of second moments (D, D), `least` added in every direction.

    Where few directions have all variance, rounding of theirs would bury `least` and make the
    matrix indefinite, so that 1e-6 of (Σλ⁴)^¼, which bounds the largest eigenvalue, is added there.
    """
    scale = jnp.maximum(jnp.trace(moments) / len(moments), 1e-30)
    moments = moments / scale
    fourth = jnp.square(jnp.matmul(moments, moments)).sum()
    floor = jnp.maximum(least / scale, 1e-6 * fourth**0.25)
    factor = jnp.linalg.cholesky(moments + floor * jnp.eye(len(moments), dtype=jnp.float32))
    return jnp.log(scale) + 2.0 * jnp.log(jnp.diagonal(factor)).mean()
