"""Losses that keep codes apart, −H(z) (METHODS §1.4). Statistics are over the global batch."""

import jax
import jax.numpy as jnp

from m3i_jax.losses.prediction import gaussian
from m3i_jax.types import Array


def cross_correlation(
    first: Array, second: Array, *, off_diagonal: float = 5e-3, eps: float = 1e-5
) -> Array:
    """Barlow Twins: Σ_d (1 − C_dd)² + λ Σ_{d≠e} C_de²; (..., D), (..., D) -> scalar.

    C = z̄₁ᵀz̄₂ / N, where z̄ is z standardised over the N leading positions as batch norm without
    affine does (biased variance, eps inside the root). The paper's λ is 5.1e-3 (METHODS §2.2).
    """
    one, two = (_standardized(_rows(z), eps) for z in (first, second))
    correlation = jnp.matmul(one.T, two, precision="highest") / one.shape[0]
    invariance = jnp.square(1.0 - jnp.diagonal(correlation)).sum()
    same = jnp.eye(correlation.shape[0], dtype=bool)
    redundancy = jnp.where(same, 0.0, jnp.square(correlation)).sum()
    return invariance + off_diagonal * redundancy


def alignment(prediction: Array, target: Array) -> Array:
    """How much predictions lie along the targets' spread: mean_n ẑᵀCẑ / D; (..., D) x 2 -> scalar.

    C = (1/N) Σ_n z zᵀ over all N leading positions of the global batch; no gradient flows through
    it. UniGrad's negative term (SiameseIM's code; METHODS §3.6). Costs N·D² rather than the N² of
    the pairwise products ẑᵀz that it averages.
    """
    z, p = _rows(jax.lax.stop_gradient(target)), _rows(prediction)
    correlation = jnp.matmul(z.T, z, precision="highest") / z.shape[0]
    aligned = (jnp.matmul(p, correlation, precision="highest") * p).sum(-1)
    return aligned.mean() / p.shape[-1]


def unigrad(prediction: Array, target: Array, *, negative_weight: float) -> Array:
    """SiameseIM's loss: (mean_n ‖ẑ − z‖² + w · mean_n ẑᵀCẑ) / D; (..., D) x 2 -> scalar.

    See `alignment` for C; the released recipe has w = 0.02. The target gets no gradient.
    """
    attraction = gaussian(prediction, jax.lax.stop_gradient(target)).mean()
    return attraction + negative_weight * alignment(prediction, target)


def _rows(z: Array) -> Array:
    """(..., D) -> (N, D) float32."""
    return jnp.asarray(z, jnp.float32).reshape(-1, z.shape[-1])


def _standardized(z: Array, eps: float) -> Array:
    """Zero mean, unit variance over the rows; 0 for a constant column, with finite gradient."""
    centred = z - z.mean(0, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(0, keepdims=True) + eps)
