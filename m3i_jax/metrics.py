"""Measures of predictions and of the health of representations; all float32 and jittable."""

import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int, Real, Shaped

from m3i_jax import normalize
from m3i_jax.types import Array


def hits(
    logits: Float[Array, "*positions classes"], labels: Int[Array, "*positions"], *, k: int = 1
) -> Bool[Array, "*positions"]:
    """Whether the label is among the k largest logits: (..., C), (...) int -> (...) bool.

    Of equal logits the lower class goes first, as with argmax, so a constant output scores
    chance. A row with a NaN logit, or without a label (−1), is a miss.
    """
    own = jnp.take_along_axis(logits, jnp.maximum(labels, 0)[..., None], axis=-1)
    classes = jnp.arange(logits.shape[-1]).reshape((1,) * labels.ndim + (-1,))
    # Not "greater": comparisons with NaN are false, and would put the label first.
    ahead = ~(logits <= own) | ((logits == own) & (classes < labels[..., None]))
    return (ahead.sum(-1) < k) & (labels >= 0)


def accuracy(
    logits: Float[Array, "batch classes"],
    labels: Int[Array, " batch"],
    *,
    k: int = 1,
    weights: Shaped[Array, " batch"] | None = None,
) -> Float32[Array, ""]:
    """Share of rows whose label is among the k largest logits: (N, C), (N,) -> scalar.

    Rows weigh 1 where they have a label, and padding (−1) nothing, unless `weights` (N,) says
    otherwise; 0 if no row counts.
    """
    weights = labels >= 0 if weights is None else weights
    weights = jnp.asarray(weights, jnp.float32)
    total = weights.sum()
    correct = jnp.where(hits(logits, labels, k=k), weights, 0.0).sum()
    return jnp.where(total > 0, correct / jnp.where(total > 0, total, 1.0), 0.0)


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
    z = _centred(z)
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


def _centred(z: Float32[Array, "rows dim"]) -> Float32[Array, "rows dim"]:
    """Rows less their mean; exactly 0 for a constant, as the mean is of what differs from row 0."""
    z = z - z[:1]
    return z - z.mean(0, keepdims=True)


def _gram(features: Float[Array, "rows dim"]) -> Float32[Array, "fewer fewer"]:
    """Inner products of centred features, of rows or of columns, whichever are fewer.

    Up to a factor: what is centred is brought near 1, as squares leave float32's range.
    """
    z = _centred(jnp.asarray(features, jnp.float32))
    z = z / normalize.magnitude(z, axis=None)
    z = z if z.shape[0] >= z.shape[1] else z.T
    return jnp.matmul(z.T, z, precision="highest")
