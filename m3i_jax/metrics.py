"""Measures of predictions and of the health of representations; all float32 and jittable."""

import jax.numpy as jnp

from m3i_jax.types import Array


def hits(logits: Array, labels: Array, *, k: int = 1) -> Array:
    """Whether the label is among the k largest logits: (..., C), (...) int -> (...) bool.

    Of equal logits the lower class goes first, as with argmax, so a constant output scores
    chance. A row with a NaN logit, or without a label (−1), is a miss.
    """
    own = jnp.take_along_axis(logits, jnp.maximum(labels, 0)[..., None], axis=-1)
    classes = jnp.arange(logits.shape[-1]).reshape((1,) * labels.ndim + (-1,))
    # Not "greater": comparisons with NaN are false, and would put the label first.
    ahead = ~(logits <= own) | ((logits == own) & (classes < labels[..., None]))
    return (ahead.sum(-1) < k) & (labels >= 0)


def accuracy(logits: Array, labels: Array, *, k: int = 1, weights: Array | None = None) -> Array:
    """Share of rows whose label is among the k largest logits: (N, C), (N,) -> scalar.

    Rows weigh 1 where they have a label, and padding (−1) nothing, unless `weights` (N,) says
    otherwise; 0 if no row counts.
    """
    weights = labels >= 0 if weights is None else weights
    weights = jnp.asarray(weights, jnp.float32)
    total = weights.sum()
    correct = (hits(logits, labels, k=k) * weights).sum()
    return jnp.where(total > 0, correct / jnp.where(total > 0, total, 1.0), 0.0)


def feature_std(features: Array) -> Array:
    """Mean over dimensions of the standard deviation of √D · z/‖z‖: (N, D) -> scalar.

    About 1 where features spread over the sphere, 0 where all are the same (complete collapse).
    It does not see features that fill only few dimensions; `effective_rank` does.
    """
    z = jnp.asarray(features, jnp.float32)
    z = z * jnp.sqrt(z.shape[-1] / jnp.maximum(jnp.square(z).sum(-1, keepdims=True), 1e-12))
    variance = jnp.square(z - z.mean(0, keepdims=True)).mean(0)
    return jnp.sqrt(variance).mean()


def effective_rank(features: Array) -> Array:
    """exp of the entropy of the variance's shares over principal directions; (N, D) -> scalar.

    exp(−Σ p ln p), p = λ/Σλ with λ the eigenvalues of the covariance: between 1 (all on one line)
    and min(N − 1, D); 0 for a constant. This is Roy & Vetterli's measure (2007) with squared
    singular values. Theirs takes the roots, which reads higher on decaying spectra, and in float32
    counts rounding errors as directions unless a full decomposition is paid for.
    The cost is that of the eigenvalues of a min(N, D) square matrix.
    """
    z = jnp.asarray(features, jnp.float32)
    z = z - z.mean(0, keepdims=True)
    z = z if z.shape[0] >= z.shape[1] else z.T
    values = jnp.maximum(jnp.linalg.eigvalsh(jnp.matmul(z.T, z, precision="highest")), 0.0)
    total = values.sum()
    share = values / jnp.where(total > 0, total, 1.0)
    entropy = -(share * jnp.log(jnp.where(share > 0, share, 1.0))).sum()
    return jnp.where(total > 0, jnp.exp(entropy), 0.0)


def information_bound(loss: Array, candidates: int | Array) -> Array:
    """log M − loss: nats of mutual information that InfoNCE over M candidates guarantees.

    Any shape; `candidates` M may be traced. The bound holds for the mean over the data, with
    equally likely candidates, and cannot exceed log M.
    """
    return jnp.log(jnp.asarray(candidates, jnp.float32)) - loss
