"""How far codes are from a standard Gaussian, seen along many directions; one scalar each.

Every mean is over all leading positions of the global batch.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Key

from m3i_jax.types import Array

__all__ = [
    "directions",
    "epps_pulley",
    "location_scale",
    "sliced_wasserstein",
]

# Where the characteristic functions are compared, and by the trapezoidal rule with which weights:
# the Gaussian's own function, e^{−t²/2}, is its window, too. Both are even, so that t > 0 will do.
POINTS = np.linspace(0.0, 3.0, 17)
GAUSSIAN = np.exp(-np.square(POINTS) / 2.0)
WEIGHTS = 2.0 * POINTS[1] * GAUSSIAN * np.where((POINTS == 0.0) | (POINTS == 3.0), 0.5, 1.0)


def directions(key: Key[Array, ""], dim: int, count: int) -> Float32[Array, "{dim} {count}"]:
    """Unit vectors in the columns, uniform on the sphere: -> (D, M); docs/methods.md#lejepa."""
    drawn = jax.random.normal(key, (dim, count), jnp.float32)
    return drawn * jax.lax.rsqrt(jnp.square(drawn).sum(0, keepdims=True))


def epps_pulley(
    z: Float[Array, "*positions dim"], along: Float[Array, "dim slices"]
) -> Float32[Array, ""]:
    """SIGReg: N mean_a ∫ |φ_N(t; aᵀz) − e^{−t²/2}|² e^{−t²/2} dt; (..., D), (D, M) -> scalar.

    φ_N is the characteristic function of the N codes along a; the integral is that from −3 to 3 by
    17 points of its half. It is about 1 for codes drawn from N(0, I) and grows as N otherwise
    (Balestriero & LeCun 2025, https://arxiv.org/abs/2511.08544; Epps & Pulley 1983,
    https://doi.org/10.1093/biomet/70.3.723).
    """
    seen = _along(z, along)

    def error(t, gaussian):
        real, imaginary = jnp.cos(t * seen).mean(0), jnp.sin(t * seen).mean(0)
        return jnp.square(real - gaussian) + jnp.square(imaginary)

    # One point after the other: all at once would be 17 arrays of the size of `seen`.
    pairs = zip(POINTS.tolist(), GAUSSIAN.tolist(), WEIGHTS.tolist(), strict=True)
    whole = sum(weight * error(t, gaussian) for t, gaussian, weight in pairs)
    return seen.shape[0] * whole.mean()


def sliced_wasserstein(
    z: Float[Array, "*positions dim"], along: Float[Array, "dim slices"], *, eps: float = 1e-4
) -> Float32[Array, ""]:
    """mean_a mean_i (u_(i) − q_i)², u = aᵀ(z − μ)/(sg σ + ε), sorted; (..., D), (D, M) -> scalar.

    q_i are a Gaussian's quantiles at i/(N + 1): the squared 2-Wasserstein distance along a. It is
    VISReg's shape (Wu et al. 2026, Eq. 2 and 5, https://arxiv.org/abs/2606.02572).
    """
    rows, mean, deviation = _moments(z)
    shape = (rows - mean) / (jax.lax.stop_gradient(deviation) + eps)
    places = jnp.sort(_along(shape, along), axis=0)
    count = rows.shape[0]
    quantiles = jax.scipy.special.ndtri(jnp.arange(1.0, count + 1.0) / (count + 1.0))
    return jnp.square(places - quantiles[:, None]).mean()


def location_scale(z: Float[Array, "*positions dim"]) -> Float32[Array, ""]:
    """mean_d μ_d² + mean_d (1 − σ_d)²; (..., D) -> scalar.

    VISReg's centre and scale (Wu et al. 2026, Eq. 1 and 6, https://arxiv.org/abs/2606.02572). The
    slope in σ stays at 2 as codes collapse; the gradient is 0 where they are all equal.
    """
    _, mean, deviation = _moments(z)
    return jnp.square(mean).mean() + jnp.square(1.0 - deviation).mean()


def _along(
    z: Float[Array, "*positions dim"], along: Float[Array, "dim slices"]
) -> Float32[Array, "rows slices"]:
    rows = jnp.asarray(z, jnp.float32).reshape(-1, z.shape[-1])
    return jnp.matmul(rows, along, precision="highest")


def _moments(
    z: Float[Array, "*positions dim"],
) -> tuple[Float32[Array, "rows dim"], Float32[Array, "1 dim"], Float32[Array, "1 dim"]]:
    """Rows, their mean, and the root of their biased variance."""
    rows = jnp.asarray(z, jnp.float32).reshape(-1, z.shape[-1])
    mean = rows.mean(0, keepdims=True)
    variance = jnp.square(rows - mean).mean(0, keepdims=True)
    spread = variance > 0.0
    deviation = jnp.where(spread, jnp.sqrt(jnp.where(spread, variance, 1.0)), 0.0)
    return rows, mean, deviation
