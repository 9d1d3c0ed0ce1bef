"""Losses of what is predicted for every pixel: categories, depth, heat maps of joints.

Of categories and heat maps there is one value per image, of which the mean over the batch is the
loss; of depth one value over all pixels of the batch, whose root is no mean of images.
"""

import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Integer

from m3i_jax.losses.prediction import categorical
from m3i_jax.types import Array

__all__ = [
    "heatmap",
    "pixel_cross_entropy",
    "sig",
    "silog",
]

# Metres: a sigmoid that is 0 in float32 has a logarithm all the same.
LEAST_DEPTH = 1e-6


def pixel_cross_entropy(
    logits: Float[Array, "batch height width classes"],
    labels: Integer[Array, "batch height width"],
    *,
    ignored: int = 255,
    valid: bool = False,
    weights: Float[Array, " classes"] | None = None,
) -> Float32[Array, " batch"]:
    """Softmax cross-entropy, the mean over the pixels of each image; (B,H,W,C), (B,H,W) -> (B,).

    What is ignored has loss 0 and, as in mmsegmentation, counts in the mean all the same, so that
    images with few labelled pixels weigh little (https://github.com/open-mmlab/mmsegmentation,
    Long et al. 2015, https://arxiv.org/abs/1411.4038).

    Args:
      logits: (B, H, W, C).
      labels: (B, H, W) int of any kind; one that is neither ignored nor a category gives NaN.
      ignored: the label of pixels that nobody has named.
      valid: the mean is over what is labelled in the whole batch instead: the mean of the B values
        is Σ w·loss / Σ w over labelled pixels, and 0 where there is none.
      weights: (C,) of the categories; None = all alike.
    """
    labels = jnp.asarray(labels).astype(jnp.int32)
    named = labels != ignored
    # A label below 0 would be none, as to `categorical`; it is as wrong as one beyond the last.
    index = jnp.where(named & (labels < 0), logits.shape[-1], jnp.where(named, labels, -1))
    loss, weight = categorical(logits, index), named.astype(jnp.float32)
    if weights is not None:
        own = jnp.take(jnp.asarray(weights, jnp.float32), index, mode="clip")
        weight = weight * own
        loss = loss * own
    if not valid:
        return loss.mean((1, 2))
    total = weight.sum()
    return loss.sum((1, 2)) * len(loss) / jnp.where(total > 0, total, 1.0)


def silog(
    prediction: Float[Array, "*shape"],
    depth: Float[Array, "*shape"],
    valid: Bool[Array, "*shape"],
    *,
    variance: float = 0.5,
) -> Float32[Array, ""]:
    """Scale-invariant error √(mean d² − λ (mean d)²), d = ln g − ln p, over all valid pixels; ().

    Eigen et al. 2014, Eq. 4, https://arxiv.org/abs/1406.2283; its root with λ = ½ is the loss of
    MIM-Depth (Xie et al. 2023, https://arxiv.org/abs/2205.13543), with λ = .85 and ten times as
    large that of BTS (Lee et al. 2019, https://arxiv.org/abs/1907.10326).

    Args:
      prediction, depth: any shape, metres; below 0 gives NaN, and 0 counts as 1e-6, where valid.
      valid: pixels that have a depth. 0, with gradients of 0, where none is, or none differs.
      variance: λ, 0 for the whole error, 1 for none of what a common scale explains.
    """
    p, g = (jnp.asarray(x, jnp.float32) for x in (prediction, depth))
    p, g = (jnp.where(x < 0, jnp.nan, jnp.maximum(x, LEAST_DEPTH)) for x in (p, g))
    mean, spread, count = _moments(p, g, valid)
    return _root(spread / count + (1.0 - variance) * jnp.square(mean))


def sig(
    prediction: Float[Array, "*shape"],
    depth: Float[Array, "*shape"],
    valid: Bool[Array, "*shape"],
    *,
    eps: float = 1e-3,
    mean_weight: float = 0.15,
    with_variance: bool | Bool[Array, ""] = True,
) -> Float32[Array, ""]:
    """√(var g + .15 (mean g)²), g = ln(p + ε) − ln(g + ε), over all valid pixels; ().

    The loss of AdaBins (Bhat et al. 2021, https://arxiv.org/abs/2011.14141) without its factor and
    with the unbiased variance, on which DINOv2 trains linear depth heads (Oquab et al. 2024,
    https://arxiv.org/abs/2304.07193).

    Args:
      prediction, depth, valid: as of `silog`.
      eps: ε in metres.
      mean_weight: of what a common scale explains.
      with_variance: False, or an array that is, leaves out the variance: DINOv2's first 100 steps.
    """
    p, g = (jnp.asarray(x, jnp.float32) + eps for x in (prediction, depth))
    mean, spread, count = _moments(p, g, valid)
    variance = jnp.where(with_variance, spread / jnp.maximum(count - 1.0, 1.0), 0.0)
    return _root(variance + mean_weight * jnp.square(mean))


def heatmap(
    prediction: Float[Array, "batch height width joints"],
    target: Float[Array, "batch height width joints"],
    weights: Float[Array, "batch joints"],
    *,
    half: bool = False,
) -> Float32[Array, " batch"]:
    """Mean over rows, columns and joints of w (p − t)²; (B,h,w,K), (B,h,w,K), (B,K) -> (B,).

    Joints that do not count stay in the mean, with 0 (UDP, Huang et al. 2020,
    https://arxiv.org/abs/1911.07524, as in https://github.com/open-mmlab/mmpose).

    Args:
      weights: 0 or 1, as `heatmaps.encode` has them.
      half: half of it, as Simple Baseline has (Xiao et al. 2018, https://arxiv.org/abs/1804.06208).
    """
    p, t, w = (jnp.asarray(x, jnp.float32) for x in (prediction, target, weights))
    loss = (w[:, None, None] * jnp.square(p - t)).mean((1, 2, 3))
    return 0.5 * loss if half else loss


def _moments(
    p: Float32[Array, "*shape"], g: Float32[Array, "*shape"], valid: Bool[Array, "*shape"]
) -> tuple[Float32[Array, ""], Float32[Array, ""], Float32[Array, ""]]:
    """Of ln p − ln g over valid pixels: mean, sum of squares around it, number (at least 1)."""
    # What is not valid is replaced first: the gradient of a logarithm of 0 is 0·∞.
    p, g = (jnp.where(valid, x, 1.0) for x in (p, g))
    d = jnp.log(p) - jnp.log(g)
    share = valid.astype(jnp.float32)
    count = jnp.maximum(share.sum(), 1.0)
    mean = d.sum() / count
    return mean, (share * jnp.square(d - mean)).sum(), count


def _root(x: Float32[Array, ""]) -> Float32[Array, ""]:
    """√x, whose gradient at 0 is 0."""
    # Not "greater": what is NaN stays so.
    return jnp.where(x <= 0, 0.0, jnp.sqrt(jnp.where(x <= 0, 1.0, x)))
