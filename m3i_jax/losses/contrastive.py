"""Choosing the right code among candidates, by inner products ẑᵀz/τ.

M3I (Su et al. 2023, https://arxiv.org/abs/2211.09807), §3.1; docs/methods.md#candidates.

Nothing is normalised here: give unit vectors for cosines. Products are in full float32, where the
default of accelerators would multiply in bfloat16 or TF32. More than `whole` of them are made in
chunks (`chunked`).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int

from m3i_jax.losses import chunked
from m3i_jax.losses.chunked import WHOLE, Choice
from m3i_jax.losses.prediction import NEVER
from m3i_jax.types import Array, Scalar

__all__ = [
    "binary",
    "boltzmann",
    "contrast",
    "dense_contrast",
    "info_nce",
    "nt_xent",
    "pairwise_sigmoid",
    "sup_con",
]


def boltzmann(
    prediction: Float[Array, "batch dim"],
    candidates: Float[Array, "candidates dim"],
    index: Int[Array, " batch"],
    *,
    temperature: Scalar = 1.0,
    label_smoothing: float = 0.0,
    valid: Bool[Array, " candidates"] | None = None,
    whole: int = WHOLE,
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
    options = dict(temperature=temperature, valid=valid, whole=whole)
    choice = chunked.choose(chunked.nothing(index), prediction, candidates, index, **options)
    loss = choice.nats()
    if label_smoothing:
        # The mean of the logits is the logit of the mean, and wants no products.
        exists = jnp.ones(len(candidates)) if valid is None else valid.astype(jnp.float32)
        share = exists / jnp.maximum(exists.sum(), 1.0)
        mean = chunked.products(share[None], candidates.T)
        mean = chunked.products(prediction, mean)[:, 0] / temperature
        loss = loss + label_smoothing * (choice.own - mean)
    return _where_right(loss, index, candidates, valid)


def binary(
    prediction: Float[Array, "batch dim"],
    candidates: Float[Array, "candidates dim"],
    index: Int[Array, "batch shown"],
    *,
    whole: int = WHOLE,
) -> Float32[Array, " batch"]:
    """Bernoulli: mean_c softplus(a_c) − t_c·a_c, a_c = ẑᵀz_c; (B, D), (M, D), (B, k) -> (B,).

    Every category is a question of its own, t_c = 1 for those that the row shows: a BCE over
    binarised targets (DeiT III, Touvron et al. 2022, https://arxiv.org/abs/2204.07118).

    Args:
      prediction: (B, D).  candidates: (M, D), a class table.
      index: (B, k) int, the categories of each row; one that is there twice counts once, −1 is
        none, and a row with an index of M or more is NaN.
    """

    def see(total, logits, chunk):
        shown = (index[:, :, None] == chunk.numbers[None]).any(1)
        asked = jax.nn.softplus(logits) - jnp.where(shown, logits, 0.0)
        return total + jnp.where(chunk.exists, asked, 0.0).sum(-1), None

    start = jnp.zeros(prediction.shape[:1], jnp.float32)
    total, _ = chunked.fold(see, start, prediction, candidates, whole=whole)
    count = len(candidates)
    return jnp.where((index < count).all(1), total / count, jnp.nan)


def info_nce(
    prediction: Float[Array, "batch dim"],
    candidates: Float[Array, "candidates dim"],
    index: Int[Array, " batch"],
    *,
    temperature: Scalar = 1.0,
    valid: Bool[Array, " candidates"] | None = None,
    whole: int = WHOLE,
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
    exists = _exists(index, valid)

    def see(choice, products, chunk):
        logits = products / temperature
        right = (chunk.numbers == index[:, None]) & chunk.exists
        column = jax.nn.logsumexp(jnp.where(exists[:, None], logits, NEVER), axis=0)
        return chunked.among(choice, logits, right, chunk.exists), column

    start = chunked.nothing(index)
    row, columns = chunked.fold(see, start, prediction, candidates, valid=valid, whole=whole)
    loss = 0.5 * (row.nats() + columns[index] - row.own)
    return _where_right(loss, index, candidates, valid)


def contrast(
    prediction: Float[Array, "*positions dim"],
    positive: Float[Array, "*positions dim"],
    negatives: Float[Array, "negatives dim"],
    *,
    temperature: Scalar = 1.0,
    whole: int = WHOLE,
) -> Float32[Array, "*positions"]:
    """−ẑᵀz⁺/τ + logsumexp(ẑᵀ[z⁺, n_1 … n_M]/τ); (..., D), (..., D), (M, D) -> (...).

    Every position has a positive of its own and all share the negatives, a queue of past codes
    (MoCo, He et al. 2020, Eq. 1, https://arxiv.org/abs/1911.05722; DenseCL).
    """
    p, z = jnp.asarray(prediction, jnp.float32), jnp.asarray(positive, jnp.float32)
    own = (p * z).sum(-1) / temperature
    nobody = jnp.full(own.shape, -1, jnp.int32)
    options = dict(temperature=temperature, whole=whole)
    return chunked.choose(_only(own), p, negatives, nobody, **options).nats()


def nt_xent(
    prediction: Float[Array, "batch dim"],
    positive: Float[Array, "batch dim"],
    *,
    temperature: Scalar = 1.0,
    whole: int = WHOLE,
) -> Float32[Array, " batch"]:
    """SimCLR: each prediction finds its positive among all 2B − 1 others; (B, D), (B, D) -> (B,).

    Candidates are all positives, its own being the right one, and all other predictions. Both
    ways round, ½ (nt_xent(a, b) + nt_xent(b, a)), it is the loss of Chen et al. (2020, Eq. 1 and
    Algorithm 1, https://arxiv.org/abs/2002.05709).
    """
    # Every row is like itself alone.
    identity = jnp.arange(prediction.shape[0], dtype=jnp.int32)
    return sup_con(prediction, positive, identity, temperature=temperature, whole=whole)


def sup_con(
    prediction: Float[Array, "batch dim"],
    positive: Float[Array, "batch dim"],
    identity: Int[Array, " batch"],
    *,
    temperature: Scalar = 1.0,
    whole: int = WHOLE,
) -> Float32[Array, " batch"]:
    """SupCon: a prediction finds all views of its kind among 2B − 1; (B, D), (B, D), (B,) -> (B,).

        −1/|P(i)| Σ_{p ∈ P(i)} log [ exp(s_ip) / Σ_{a ≠ i} exp(s_ia) ],   s = ẑᵀz/τ

    Candidates are all positives and all other predictions; right, P(i), are those of rows with the
    identity of row i. Both ways round it is L_out of Khosla et al. (2020, Eq. 2,
    https://arxiv.org/abs/2004.11362); `nt_xent` where no two rows have one identity.

    Args:
      prediction, positive: (B, D), two views of each row.
      identity: (B,) int, equal where rows are positives of each other: labels.
      temperature: τ, may be learned.
    """
    rows = jnp.arange(prediction.shape[0], dtype=jnp.int32)

    def seeing(skip):
        def see(choice, products, chunk):
            offered = chunk.exists & (chunk.numbers != skip[:, None])
            right = offered & (identity[chunk.numbers] == identity[:, None])
            return chunked.among(choice, products / temperature, right, offered), None

        return see

    nobody = jnp.full_like(rows, -1)
    choice, _ = chunked.fold(
        seeing(nobody), chunked.nothing(rows), prediction, positive, whole=whole
    )
    choice, _ = chunked.fold(seeing(rows), choice, prediction, prediction, whole=whole)
    # Two views of every row of the kind, but for the one that asks.
    alike = identity[:, None] == identity[None]
    count = 2.0 * alike.sum(1, dtype=jnp.float32) - 1.0
    return choice._replace(own=choice.own / count).nats()


def pairwise_sigmoid(
    prediction: Float[Array, "batch dim"],
    candidates: Float[Array, "candidates dim"],
    index: Int[Array, " batch"],
    *,
    temperature: Scalar = 1.0,
    bias: Scalar = 0.0,
    valid: Bool[Array, " candidates"] | None = None,
    whole: int = WHOLE,
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

    def see(total, products, chunk):
        logits = products / temperature + bias
        right = chunk.numbers == index[:, None]
        asked = jax.nn.softplus(jnp.where(right, -logits, logits))
        return total + jnp.where(chunk.exists, asked, 0.0).sum(1), None

    start = jnp.zeros(index.shape, jnp.float32)
    total, _ = chunked.fold(see, start, prediction, candidates, valid=valid, whole=whole)
    return _where_right(total, index, candidates, valid)


def dense_contrast(
    prediction: Float[Array, "batch tokens dim"],
    target: Float[Array, "batch tokens dim"],
    others: Float[Array, "batch dim"],
    *,
    temperature: Scalar = 1.0,
    whole: int = WHOLE,
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
    here = jnp.matmul(p, z.transpose(0, 2, 1), precision="highest") / temperature
    image = jnp.broadcast_to(jnp.arange(b, dtype=jnp.int32)[:, None], (b, length))
    none = jnp.full_like(image, -1)
    right, offered = jnp.eye(length, dtype=bool)[None], jnp.ones((1, 1, length), bool)
    choice = chunked.among(chunked.nothing(none), here, right, offered)
    options = dict(temperature=temperature, skip=image, whole=whole)
    return chunked.choose(choice, p, others, none, **options).nats()


def _only(own: Float32[Array, "*positions"]) -> Choice:
    """A choice that has seen the right one alone."""
    largest = jax.lax.stop_gradient(own)
    return Choice(largest, jnp.exp(own - largest), own)


def _exists(
    index: Int[Array, " batch"], valid: Bool[Array, " candidates"] | None
) -> Bool[Array, " batch"]:
    """Rows whose target exists; one beyond the last, whose loss is NaN, counts."""
    if valid is None:
        return index >= 0
    return (index >= 0) & jnp.take(valid, index, mode="fill", fill_value=True)


def _where_right(
    loss: Float32[Array, " batch"],
    index: Int[Array, " batch"],
    candidates: Float[Array, "candidates dim"],
    valid: Bool[Array, " candidates"] | None,
) -> Float32[Array, " batch"]:
    """The loss; 0 where the right candidate does not exist, NaN where it is beyond the last one."""
    loss = jnp.where(index < len(candidates), loss, jnp.nan)
    return jnp.where(_exists(index, valid), loss, 0.0)
