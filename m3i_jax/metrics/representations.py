"""The health of representations: how far they spread, and what they use; all float32."""

import jax.numpy as jnp
from jaxtyping import Float, Float32, Int, Shaped

from m3i_jax import normalize
from m3i_jax.types import Array


def feature_std(features: Float[Array, "rows dim"]) -> Float32[Array, ""]:
    """Mean over dimensions of the standard deviation of √D · z/‖z‖: (N, D) -> scalar.

    About 1 where features spread over the sphere, 0 where all are the same (complete collapse).
    It does not see features that fill only few dimensions; `effective_rank` does.
    """
    z = normalize.unit(features) * jnp.sqrt(jnp.float32(features.shape[-1]))
    variance = jnp.square(z - z.mean(0, keepdims=True)).mean(0)
    return jnp.sqrt(variance).mean()


def effective_rank(features: Float[Array, "rows dim"]) -> Float32[Array, ""]:
    """exp of the entropy of the variance's shares over principal directions; (N, D) -> scalar.

    exp(−Σ p ln p), p = λ/Σλ with λ the eigenvalues of the covariance: between 1 (all on one line)
    and min(N − 1, D); 0 for a constant. This is Roy & Vetterli's measure (2007) with squared
    singular values. Theirs takes the roots, which reads higher on decaying spectra, and in float32
    counts rounding errors as directions unless a full decomposition is paid for.
    The cost is that of the eigenvalues of a min(N, D) square matrix.
    """
    values = jnp.maximum(jnp.linalg.eigvalsh(_gram(features)), 0.0)
    total = values.sum()
    share = values / jnp.where(total > 0, total, 1.0)
    return jnp.where(total > 0, jnp.exp(entropy(share)), 0.0)


def participation(features: Float[Array, "rows dim"]) -> Float32[Array, ""]:
    """Participation ratio (tr Σ)² / tr(Σ²), Σ the covariance: (N, D) -> scalar.

    The number of equally strong directions, 1/Σp² where `effective_rank` is exp(−Σ p ln p), which
    it never exceeds; 0 for a constant. It needs no eigenvalues, only a min(N, D) square matrix.
    """
    gram = _gram(features)
    total = jnp.trace(gram)
    # Divided first: squares of what is large, or small, leave float32's range.
    squares = jnp.square(gram / jnp.where(total > 0, total, 1.0)).sum()
    return jnp.where(total > 0, 1.0 / jnp.where(total > 0, squares, 1.0), 0.0)


def entropy(probabilities: Float[Array, "*positions classes"]) -> Float32[Array, "*positions"]:
    """Shannon entropy −Σ p ln p in nats over the last axis, 0·ln 0 = 0; (..., K) -> (...)."""
    p = jnp.asarray(probabilities, jnp.float32)
    return -(p * jnp.log(jnp.where(p > 0, p, 1.0))).sum(-1)


def usage(
    index: Int[Array, "*positions"],
    count: int,
    *,
    weights: Shaped[Array, "*positions"] | None = None,
) -> Float32[Array, " {count}"]:
    """Share of all choices that fell on each candidate: (...) int -> (count,), summing to 1.

    Choices outside 0 … count−1 (−1: none) are not counted; all shares are 0 where none is left.
    `weights` (...) weigh the choices.
    """
    weights = jnp.ones(index.shape) if weights is None else weights
    # Negative numbers would count from the end.
    index = jnp.where(index < 0, count, index).reshape(-1)
    weights = jnp.asarray(weights, jnp.float32).reshape(-1)
    times = jnp.zeros(count).at[index].add(weights, mode="drop")
    total = times.sum()
    return times / jnp.where(total > 0, total, 1.0)


def centred(z: Float32[Array, "rows dim"]) -> Float32[Array, "rows dim"]:
    """Rows less their mean; exactly 0 for a constant, as the mean is of what differs from row 0."""
    z = z - z[:1]
    return z - z.mean(0, keepdims=True)


def _gram(features: Float[Array, "rows dim"]) -> Float32[Array, "fewer fewer"]:
    """Inner products of centred features, of rows or of columns, whichever are fewer.

    Up to a factor: what is centred is brought near 1, as squares leave float32's range.
    """
    z = centred(jnp.asarray(features, jnp.float32))
    z = z / normalize.magnitude(z, axis=None)
    z = z if z.shape[0] >= z.shape[1] else z.T
    return jnp.matmul(z.T, z, precision="highest")
