"""Prediction losses, −log P̂(z | ẑ) up to a constant (M3I §3.1; METHODS §1.2 and §1.3)."""

import jax
import jax.numpy as jnp

from m3i_jax.types import Array

# Stands for −∞ where a candidate does not exist; finite, so that no gradient becomes 0·∞.
_NEVER = -1e30


def gaussian(prediction: Array, target: Array, *, sigma2: float | None = None) -> Array:
    """Gaussian: Σ_d e_d² / (2σ²) with e = z − ẑ; (..., D), (..., D) -> (...).

    σ² = D/2 when None, which is the mean squared error (MAE, SiameseIM); σ² = ½ on unit vectors
    is 2 − 2 cos (BYOL, MILAN).
    """
    error = _error(prediction, target)
    sigma2 = error.shape[-1] / 2 if sigma2 is None else sigma2
    return jnp.square(error).sum(-1) / (2.0 * sigma2)


def laplace(prediction: Array, target: Array, *, scale: float | None = None) -> Array:
    """Laplace: Σ_d |e_d| / b; (..., D), (..., D) -> (...).

    b = D when None, which is the mean absolute error (SimMIM).
    """
    error = _error(prediction, target)
    scale = error.shape[-1] if scale is None else scale
    return jnp.abs(error).sum(-1) / scale


def huber(prediction: Array, target: Array, *, delta: float = 1.0) -> Array:
    """Huber: mean_d of e²/(2δ) where |e| < δ, |e| − δ/2 elsewhere; (..., D), (..., D) -> (...).

    data2vec and feature distillation use δ = 2. This is the form that tends to |e| far out
    (PyTorch's smooth l1); the other one in use is δ times as large.
    """
    error = _error(prediction, target)
    size = jnp.abs(error)
    inside = jnp.square(error) / (2.0 * delta)
    return jnp.where(size < delta, inside, size - delta / 2.0).mean(-1)


def bernoulli(logits: Array, labels: Array) -> Array:
    """Bernoulli: softplus(a) − y·a, elementwise; labels in [0, 1], any shape."""
    logits, labels = jnp.asarray(logits, jnp.float32), jnp.asarray(labels, jnp.float32)
    return jax.nn.softplus(logits) - labels * logits


def boltzmann(
    prediction: Array,
    candidates: Array,
    index: Array,
    *,
    temperature: float | Array = 1.0,
    label_smoothing: float = 0.0,
    valid: Array | None = None,
) -> Array:
    """Boltzmann: −(1−ε) ẑᵀz⁺/τ − ε·mean_c ẑᵀz_c/τ + logsumexp_c(ẑᵀz_c/τ); (B,D),(M,D),(B,) -> (B,).

    Softmax cross-entropy over the candidates, with ε/C of the target on each of the C valid ones.

    Args:
      prediction: (B, D).
      candidates: (M, D), a class table, a batch of codes, or a queue.
      index: (B,) int, which candidate is the target. A row whose target does not exist (−1, or
        not valid) has loss and gradient 0; an index of M or more gives NaN.
      temperature: τ, may be learned.
      label_smoothing: ε.
      valid: (M,) bool, candidates that exist; the others leave logsumexp and smoothing.
    """
    logits = _logits(prediction, candidates, temperature)
    exists, offered = _exists(index, valid), logits
    if valid is not None:
        offered = jnp.where(valid[None], logits, _NEVER)
    loss = jax.nn.logsumexp(offered, axis=-1)
    loss = loss - (1.0 - label_smoothing) * _pick(logits, index)
    if label_smoothing:
        shares = jnp.ones(logits.shape[1]) if valid is None else valid.astype(jnp.float32)
        shares = label_smoothing * shares / jnp.maximum(shares.sum(), 1.0)
        loss = loss - (logits * shares[None]).sum(-1)
    return jnp.where(exists, loss, 0.0)


def info_nce(
    prediction: Array,
    candidates: Array,
    index: Array,
    *,
    temperature: float | Array = 1.0,
    valid: Array | None = None,
) -> Array:
    """Symmetric InfoNCE over the global batch; (B,D),(M,D),(B,) -> (B,).

        ½ [ logsumexp_c(s_ic) + logsumexp_r(s_r,index(i)) ] − s_i,index(i),   s = ẑᵀz/τ

    Each prediction chooses among the candidates and each candidate among the predictions, with
    full gradients both ways (CLIP; METHODS §1.3).

    Args:
      prediction: (B, D).  candidates: (M, D).
      index: (B,) int, which candidate belongs to row i; each candidate is used at most once.
      temperature: τ, may be learned.
      valid: (M,) bool, candidates that exist. The others leave the rows' sums; rows that they
        belong to leave the columns' sums and have loss and gradient 0.
    """
    logits = _logits(prediction, candidates, temperature)
    exists = _exists(index, valid)
    by_row = logits if valid is None else jnp.where(valid[None], logits, _NEVER)
    by_column = jnp.where(exists[:, None], logits, _NEVER)
    row = jax.nn.logsumexp(by_row, axis=1)
    column = jax.nn.logsumexp(by_column, axis=0)[index]
    return jnp.where(exists, 0.5 * (row + column) - _pick(logits, index), 0.0)


def _error(prediction: Array, target: Array) -> Array:
    """z − ẑ in float32; subtracting first would round in a lower precision."""
    return jnp.asarray(target, jnp.float32) - jnp.asarray(prediction, jnp.float32)


def _logits(prediction: Array, candidates: Array, temperature: float | Array) -> Array:
    """ẑᵀz/τ in full float32: the default of accelerators would multiply in bfloat16 or TF32."""
    x, y = jnp.asarray(prediction, jnp.float32), jnp.asarray(candidates, jnp.float32)
    return jnp.matmul(x, y.T, precision="highest") / temperature


def _exists(index: Array, valid: Array | None) -> Array:
    """(B,) bool, rows whose target exists."""
    return index >= 0 if valid is None else (index >= 0) & jnp.take(valid, index, mode="clip")


def _pick(logits: Array, index: Array) -> Array:
    """logits[i, index(i)]; NaN where the index is beyond the last candidate."""
    return jnp.take_along_axis(logits, index[:, None], axis=1)[:, 0]
