"""Choosing the right code among candidates, by inner products ẑᵀz/τ.

M3I (Su et al. 2023, https://arxiv.org/abs/2211.09807), §3.1; docs/methods.md#candidates.

Nothing is normalised here: give unit vectors for cosines. Products are in full float32, where the
default of accelerators would multiply in bfloat16 or TF32.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int

from m3i_jax.losses.prediction import NEVER, bernoulli, categorical
from m3i_jax.types import Array, Scalar

__all__ = [
    "binary",
    "boltzmann",
    "contrast",
    "dense_contrast",
    "info_nce",
    "nt_xent",
    "pairwise_sigmoid",
]


def boltzmann(
    prediction: Float[Array, "batch dim"],
    candidates: Float[Array, "candidates dim"],
    index: Int[Array, " batch"],
    *,
    temperature: Scalar = 1.0,
    label_smoothing: float = 0.0,
    valid: Bool[Array, " candidates"] | None = None,
) -> Float32[Array, " batch"]:
    """Boltzmann: −(1−ε) ẑᵀz⁺/τ − ε·mean_c ẑᵀz_c/τ + logsumexp_c(ẑᵀz_c/τ); (B,D),(M,D),(B,) -> (B,).

    Softmax cross-entropy over the candidates, with ε/C of the target on each of the C valid ones
    (M3I §3.1; docs/methods.md#candidates).

    Args:
      prediction: (B, D).
      candidates: (M, D), a class table, a batch of codes, or a queue.
      index: (B,) int, which candidate is the target. A row whose target does not exist (−1, or
        not valid) has loss and gradient 0; an index of M or more gives NaN.
      temperature: τ, may be learned.
      label_smoothing: ε.
      valid: (M,) bool, candidates that exist; the others leave logsumexp and smoothing.
    """
    logits = _products(prediction, candidates) / temperature
    valid = None if valid is None else valid[None]
    return categorical(logits, index, label_smoothing=label_smoothing, valid=valid)


def binary(
    prediction: Float[Array, "batch dim"],
    candidates: Float[Array, "candidates dim"],
    index: Int[Array, "batch shown"],
) -> Float32[Array, " batch"]:
    """Bernoulli: mean_c softplus(a_c) − t_c·a_c, a_c = ẑᵀz_c; (B, D), (M, D), (B, k) -> (B,).

    Every category is a question of its own, t_c = 1 for those that the row shows: a BCE over
    binarised targets (DeiT III, Touvron et al. 2022, https://arxiv.org/abs/2204.07118).

    Args:
      prediction: (B, D).  candidates: (M, D), a class table.
      index: (B, k) int, the categories of each row; one that is there twice counts once, −1 is
        none, and a row with an index of M or more is NaN.
    """
    logits = _products(prediction, candidates)
    count = logits.shape[-1]
    labels = (index[:, :, None] == jnp.arange(count)[None, None]).any(1)
    return jnp.where((index < count).all(1), bernoulli(logits, labels).mean(-1), jnp.nan)


def info_nce(
    prediction: Float[Array, "batch dim"],
    candidates: Float[Array, "candidates dim"],
    index: Int[Array, " batch"],
    *,
    temperature: Scalar = 1.0,
    valid: Bool[Array, " candidates"] | None = None,
) -> Float32[Array, " batch"]:
    """Symmetric InfoNCE over the global batch; (B,D),(M,D),(B,) -> (B,).

        ½ [ logsumexp_c(s_ic) + logsumexp_r(s_r,index(i)) ] − s_i,index(i),   s = ẑᵀz/τ

    Each prediction chooses among the candidates and each candidate among the predictions, with
    full gradients both ways (CLIP, Radford et al. 2021, Fig. 3, https://arxiv.org/abs/2103.00020).

    Args:
      prediction: (B, D).  candidates: (M, D).
      index: (B,) int, which candidate belongs to row i; each candidate is used at most once.
      temperature: τ, may be learned.
      valid: (M,) bool, candidates that exist. The others leave the rows' sums; rows that they
        belong to leave the columns' sums and have loss and gradient 0.
    """
    logits = _products(prediction, candidates) / temperature
    exists = _exists(index, valid)
    by_row = logits if valid is None else jnp.where(valid[None], logits, NEVER)
    by_column = jnp.where(exists[:, None], logits, NEVER)
    row = jax.nn.logsumexp(by_row, axis=1)
    column = jax.nn.logsumexp(by_column, axis=0)[index]
    return jnp.where(exists, 0.5 * (row + column) - _own(logits, index), 0.0)


def contrast(
    prediction: Float[Array, "*positions dim"],
    positive: Float[Array, "*positions dim"],
    negatives: Float[Array, "negatives dim"],
    *,
    temperature: Scalar = 1.0,
) -> Float32[Array, "*positions"]:
    """−ẑᵀz⁺/τ + logsumexp(ẑᵀ[z⁺, n_1 … n_M]/τ); (..., D), (..., D), (M, D) -> (...).

    Every position has a positive of its own and all share the negatives, a queue of past codes
    (MoCo, He et al. 2020, Eq. 1, https://arxiv.org/abs/1911.05722; DenseCL).
    """
    p, z = jnp.asarray(prediction, jnp.float32), jnp.asarray(positive, jnp.float32)
    right = (p * z).sum(-1, keepdims=True)
    logits = jnp.concatenate([right, _products(p, negatives)], -1) / temperature
    return categorical(logits, jnp.zeros(logits.shape[:-1], jnp.int32))


def nt_xent(
    prediction: Float[Array, "batch dim"],
    positive: Float[Array, "batch dim"],
    *,
    temperature: Scalar = 1.0,
) -> Float32[Array, " batch"]:
    """SimCLR: each prediction finds its positive among all 2B − 1 others; (B, D), (B, D) -> (B,).

    Candidates are all positives, its own being the right one, and all other predictions. Both
    ways round, ½ (nt_xent(a, b) + nt_xent(b, a)), it is the loss of Chen et al. (2020, Eq. 1 and
    Algorithm 1, https://arxiv.org/abs/2002.05709).
    """
    rows = jnp.arange(prediction.shape[0], dtype=jnp.int32)
    others = ~jnp.eye(len(rows), dtype=bool)
    logits = [_products(prediction, z) for z in (positive, prediction)]
    valid = jnp.concatenate([jnp.ones_like(others), others], 1)
    return categorical(jnp.concatenate(logits, 1) / temperature, rows, valid=valid)


def pairwise_sigmoid(
    prediction: Float[Array, "batch dim"],
    candidates: Float[Array, "candidates dim"],
    index: Int[Array, " batch"],
    *,
    temperature: Scalar = 1.0,
    bias: Scalar = 0.0,
    valid: Bool[Array, " candidates"] | None = None,
) -> Float32[Array, " batch"]:
    """SigLIP: −log σ(s_i,index(i) + b) − Σ_{j≠index(i)} log σ(−s_ij − b); (B,D),(M,D),(B,) -> (B,).

    Every pair is a question of its own: no sum over candidates couples the rows. s = ẑᵀz/τ; their
    t is 1/τ (Zhai et al. 2023, Algorithm 1, https://arxiv.org/abs/2303.15343).

    Args:
      prediction: (B, D).  candidates: (M, D).
      index: (B,) int, which candidate belongs to row i. A row whose target does not exist (−1, or
        not valid) has loss and gradient 0; an index of M or more gives NaN.
      temperature, bias: τ and b, may be learned.
      valid: (M,) bool, candidates that exist; the others drop out.
    """
    logits = _products(prediction, candidates) / temperature + bias
    wrong = jnp.arange(logits.shape[1])[None] != index[:, None]
    if valid is not None:
        wrong &= valid[None]
    loss = jnp.where(wrong, jax.nn.softplus(logits), 0.0).sum(1)
    loss = loss + jax.nn.softplus(-_own(logits, index))
    return jnp.where(_exists(index, valid), loss, 0.0)


def dense_contrast(
    prediction: Float[Array, "batch tokens dim"],
    target: Float[Array, "batch tokens dim"],
    others: Float[Array, "batch dim"],
    *,
    temperature: Scalar = 1.0,
) -> Float32[Array, "batch tokens"]:
    """Dense instance discrimination: (B, L, D), (B, L, D), (B, D) -> (B, L).

    Position l of image b finds target token l of its image among all L of them and one averaged
    token of every other image of the global batch: all B·L tokens would be too many. Form h of
    M3I's Table 2, whose candidates the paper leaves open: docs/methods.md#table2.

    Args:
      prediction, target: (B, L, D), the same position of the same image in the same place.
      others: (B, D), averaged tokens; an image never meets its own.
    """
    p, z = jnp.asarray(prediction, jnp.float32), jnp.asarray(target, jnp.float32)
    b, length, _ = p.shape
    here = jnp.matmul(p, z.transpose(0, 2, 1), precision="highest")
    logits = jnp.concatenate([here, _products(p, others)], -1) / temperature
    elsewhere = ~jnp.eye(b, dtype=bool)
    valid = jnp.concatenate([jnp.ones((b, length), bool), elsewhere], 1)[:, None]
    place = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None], (b, length))
    return categorical(logits, place, valid=valid)


def _products(
    prediction: Float[Array, "*positions dim"], candidates: Float[Array, "candidates dim"]
) -> Float32[Array, "*positions candidates"]:
    """ẑᵀz of every position with every candidate: (..., D), (M, D) -> (..., M) float32."""
    x, y = jnp.asarray(prediction, jnp.float32), jnp.asarray(candidates, jnp.float32)
    return jnp.matmul(x, y.T, precision="highest")


def _exists(
    index: Int[Array, " batch"], valid: Bool[Array, " candidates"] | None
) -> Bool[Array, " batch"]:
    """Rows whose target exists; one beyond the last, whose loss is NaN, counts."""
    if valid is None:
        return index >= 0
    return (index >= 0) & jnp.take(valid, index, mode="fill", fill_value=True)


def _own(
    logits: Float32[Array, "batch candidates"], index: Int[Array, " batch"]
) -> Float32[Array, " batch"]:
    """logits[i, index(i)]; NaN where the index is beyond the last candidate."""
    return jnp.take_along_axis(logits, index[:, None], axis=1)[:, 0]
