"""How features fill their space: uniformity on the sphere, and alignment of views of one image.

Wang & Isola 2020, https://arxiv.org/abs/2005.10242. Effective rank and participation ratio are in
`m3i_jax.metrics`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from m3i_jax import normalize
from m3i_jax.types import Array

CHUNK = 256  # rows whose distances to all others are in memory at once


def uniformity(features: Float[Array, "rows dim"], *, t: float = 2.0) -> Float32[Array, ""]:
    """log of the mean over pairs of rows i ≠ j of exp(−t‖uᵢ − uⱼ‖²), u = z/‖z‖: (N, D) -> scalar.

    0 where all directions are one, and about −2t where they are spread over a sphere of many
    dimensions: less is more uniform. Wang & Isola 2020, Eq. 2; their pairs of independent draws are
    those of different rows.

    Raises:
      ValueError: fewer than two rows.
    """
    if (count := features.shape[0]) < 2:
        raise ValueError(f"uniformity of {count} rows, expected 2 or more")
    u = normalize.unit(features)

    def near(one):
        return jnp.exp(2 * t * (jnp.matmul(u, one, precision="highest") - 1)).sum()

    # Each row is near itself, by exp(0).
    sums = jax.lax.map(near, u, batch_size=min(CHUNK, count)) - 1
    return jnp.log(jnp.maximum(sums, 0).mean() / (count - 1))


def alignment(
    features: Float[Array, "rows dim"], views: Float[Array, "rows dim"], *, alpha: float = 2.0
) -> Float32[Array, ""]:
    """Mean of ‖uᵢ − vᵢ‖^α, directions of two views of image i: (N, D), (N, D) -> scalar.

    0 where views do not matter, 2 where they are as far apart as two random directions of many
    dimensions (α = 2). Wang & Isola 2020, Eq. 1.
    """
    far = normalize.unit(features) - normalize.unit(views)
    return jnp.power(jnp.square(far).sum(-1), alpha / 2).mean()
