"""Prediction losses, −log P̂(z | ẑ) up to a constant, of one position each.

M3I (Su et al. 2023, https://arxiv.org/abs/2211.09807), §3.1; docs/methods.md#prediction-terms.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from m3i_jax import normalize
from m3i_jax.types import Array, Scalar

__all__ = [
    "bernoulli",
    "categorical",
    "cosine",
    "cross_entropy",
    "gaussian",
    "gram",
    "huber",
    "laplace",
]

# Stands for −∞ where a candidate does not exist; finite, so that no gradient becomes 0·∞, and
# below whatever a logit can be.
NEVER = float(np.finfo(np.float32).min)


def gaussian(
    prediction: Float[Array, "*positions dim"],
    target: Float[Array, "*positions dim"],
    *,
    sigma2: float | None = None,
) -> Float32[Array, "*positions"]:
    """Gaussian: Σ_d e_d² / (2σ²) with e = z − ẑ; (..., D), (..., D) -> (...).

    σ² = D/2 when None, which is the mean squared error (MAE, SiameseIM). M3I §3.1, as l2;
    docs/methods.md#prediction-terms.
    """
    error = _error(prediction, target)
    sigma2 = error.shape[-1] / 2 if sigma2 is None else sigma2
    return jnp.square(error).sum(-1) / (2.0 * sigma2)


def cosine(
    prediction: Float[Array, "*positions dim"],
    target: Float[Array, "*positions dim"],
    *,
    eps: float = 1e-6,
) -> Float32[Array, "*positions"]:
    """2 − 2 cos(ẑ, z): the Gaussian of σ² = ½ on unit vectors; (..., D), (..., D) -> (...).

    BYOL (Grill et al. 2020, Eq. 2, https://arxiv.org/abs/2006.07733) and MILAN have it so, VQ-KD
    half of it. It holds for vectors of any length; the loss of a zero is 2. Gradients are those of
    vectors at least eps long, and so finite.
    """
    p, z = normalize.unit(prediction, eps=eps), normalize.unit(target, eps=eps)
    return 2.0 - 2.0 * (p * z).sum(-1)


def gram(
    prediction: Float[Array, "batch tokens dim"], target: Float[Array, "batch tokens _dim"]
) -> Float32[Array, "batch tokens"]:
    """Gram anchoring: mean_m (ẑ̄_lᵀẑ̄_m − z̄_lᵀz̄_m)²; (B, L, D), (B, L, E) -> (B, L).

    z̄ has length 1: cosines of each token with all tokens of its image are to be those of the
    target, whatever turns both. DINOv3 (Siméoni et al. 2025, https://arxiv.org/abs/2508.10104).
    """
    one, two = (_cosines(normalize.unit(z)) for z in (prediction, target))
    return jnp.square(one - two).mean(-1)


def laplace(
    prediction: Float[Array, "*positions dim"],
    target: Float[Array, "*positions dim"],
    *,
    scale: float | None = None,
) -> Float32[Array, "*positions"]:
    """Laplace: Σ_d |e_d| / b; (..., D), (..., D) -> (...).

    b = D when None, which is the mean absolute error of SimMIM (Xie et al. 2022, §3.4,
    https://arxiv.org/abs/2111.09886).
    """
    error = _error(prediction, target)
    scale = error.shape[-1] if scale is None else scale
    return jnp.abs(error).sum(-1) / scale


def huber(
    prediction: Float[Array, "*positions dim"],
    target: Float[Array, "*positions dim"],
    *,
    delta: float = 1.0,
) -> Float32[Array, "*positions"]:
    """Huber: mean_d of e²/(2δ) where |e| < δ, |e| − δ/2 elsewhere; (..., D), (..., D) -> (...).

    data2vec (Baevski et al. 2022, https://arxiv.org/abs/2202.03555) and FD use δ = 2. This is the
    form that tends to |e| far out (PyTorch's smooth l1); the other one in use is δ times as large.
    """
    error = _error(prediction, target)
    size = jnp.abs(error)
    inside = jnp.square(error) / (2.0 * delta)
    return jnp.where(size < delta, inside, size - delta / 2.0).mean(-1)


def bernoulli(
    logits: Float[Array, "*shape"], labels: Float[Array, "*shape"] | Bool[Array, "*shape"]
) -> Float32[Array, "*shape"]:
    """Bernoulli: softplus(a) − y·a, elementwise; labels in [0, 1], any shape.

    CIM's RevDet, binary classes: docs/methods.md#prediction-terms.
    """
    logits, labels = jnp.asarray(logits, jnp.float32), jnp.asarray(labels, jnp.float32)
    return jax.nn.softplus(logits) - labels * logits


def categorical(
    logits: Float[Array, "*positions classes"],
    index: Int[Array, "*positions"],
    *,
    label_smoothing: float = 0.0,
    valid: Bool[Array, "*#positions classes"] | None = None,
) -> Float32[Array, "*positions"]:
    """Categorical: logsumexp_v(a) − (1−ε) a⁺ − ε·mean_v a; (..., V), (...) int -> (...).

    Softmax cross-entropy with ε/C of the target on each of the C valid entries: classes, visual
    tokens (BEiT, Bao et al. 2022, https://arxiv.org/abs/2106.08254).

    Args:
      logits: (..., V).
      index: (...) int, the right entry. A position whose target does not exist (−1, or not valid)
        has loss and gradient 0; an index of V or more gives NaN.
      label_smoothing: ε.
      valid: (V,) or (..., V) bool, entries that exist; the others leave the sums.
    """
    logits = jnp.asarray(logits, jnp.float32)
    offered, exists = logits, index >= 0
    if valid is not None:
        valid = jnp.broadcast_to(valid, logits.shape)
        offered = jnp.where(valid, logits, NEVER)
        # Beyond the last entry it is said to exist, so that its loss is NaN.
        own = jnp.take_along_axis(valid, index[..., None], -1, mode="fill", fill_value=True)
        exists &= own[..., 0]
    # Off with the largest first: differences of small numbers keep their digits.
    largest = jax.lax.stop_gradient(offered.max(-1, keepdims=True))
    logits, offered = logits - largest, offered - largest
    own = jnp.take_along_axis(logits, index[..., None], -1)[..., 0]
    loss = jnp.log(jnp.exp(offered).sum(-1)) - (1.0 - label_smoothing) * own
    if label_smoothing:
        counted = jnp.ones(logits.shape, bool) if valid is None else valid
        total = jnp.where(counted, logits, 0.0).sum(-1)
        loss = loss - label_smoothing * total / jnp.maximum(counted.sum(-1, dtype=jnp.float32), 1.0)
    return jnp.where(exists, loss, 0.0)


def cross_entropy(
    logits: Float[Array, "*positions prototypes"],
    probabilities: Float[Array, "*positions prototypes"],
    *,
    temperature: Scalar = 1.0,
) -> Float32[Array, "*positions"]:
    """Cross-entropy with soft targets: −Σ_k p_k log softmax(a/τ)_k; (..., K), (..., K) -> (...).

    The targets are assignments to prototypes: DINO (Caron et al. 2021, Eq. 2,
    https://arxiv.org/abs/2104.14294), MSN.
    """
    logits = jnp.asarray(logits, jnp.float32) / temperature
    shares = jnp.asarray(probabilities, jnp.float32)
    return -(shares * jax.nn.log_softmax(logits, axis=-1)).sum(-1)


def _cosines(unit: Float32[Array, "batch tokens dim"]) -> Float32[Array, "batch tokens _tokens"]:
    """(B, L, D) of length 1 -> (B, L, L)."""
    return jnp.matmul(unit, unit.swapaxes(1, 2), precision="highest")


def _error(
    prediction: Float[Array, "*positions dim"], target: Float[Array, "*positions dim"]
) -> Float32[Array, "*positions dim"]:
    """z − ẑ in float32; subtracting first would round in a lower precision."""
    return jnp.asarray(target, jnp.float32) - jnp.asarray(prediction, jnp.float32)
