"""Losses of objects that are found: what they are, where their boxes are, what of them is masked.

One value for each box, cell or mask; who divides their sum, by how many objects, is said by the
method. Whether there is an object, or a point is in its mask, is `prediction.bernoulli`.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32

from m3i_jax import detection
from m3i_jax.ranges import NotNegative, Range, Share
from m3i_jax.types import Array

__all__ = [
    "box_giou",
    "box_l1",
    "dice",
    "focal",
    "varifocal",
]

Focus = Annotated[float, Range(0, 20, why="an exponent of probabilities")]


def focal(
    logits: Float[Array, "*positions classes"],
    labels: Bool[Array, "*positions classes"],
    *,
    alpha: Share = 0.25,
    gamma: Focus = 2.0,
) -> Float32[Array, "*positions"]:
    """Focal: −Σ_c α_c (1 − p_c)^γ ln p_c, p_c the probability of what is true; (..., C) -> (...).

    Each category is a binary choice of its own, and background is where all are false. What is
    known well weighs little (RetinaNet, Lin et al. 2017, Eq. 5, https://arxiv.org/abs/1708.02002;
    the categories of DINO, Zhang et al. 2022, https://arxiv.org/abs/2203.03605).

    Args:
      alpha: α_c where the category is true, 1 − α where it is not.
      gamma: γ; with 0 and α = ½ this is half the binary cross-entropy.
    """
    logits = jnp.asarray(logits, jnp.float32)
    margin = jnp.where(labels, logits, -logits)
    # (1 − p)^γ by its logarithm: a power of 0 has no gradient where γ is less than 1.
    known = jnp.exp(-gamma * jax.nn.softplus(margin))
    weight = jnp.where(labels, alpha, 1.0 - alpha)
    return (weight * known * jax.nn.softplus(-margin)).sum(-1)


def varifocal(
    logits: Float[Array, "*positions classes"],
    quality: Float[Array, "*positions classes"],
    *,
    alpha: Share = 0.75,
    gamma: Focus = 2.0,
) -> Float32[Array, "*positions"]:
    """Varifocal: the score of a box is how well it fits, 0 of background; (..., C) -> (...).

        q > 0:  −q (q ln p + (1 − q) ln(1 − p))        q = 0:  −α p^γ ln(1 − p),   summed over c

    VarifocalNet (Zhang et al. 2021, Eq. 2, https://arxiv.org/abs/2008.13367); in SwinTrack with one
    score a cell (Lin et al. 2022, https://arxiv.org/abs/2112.00995).

    Args:
      quality: q, the IoU of the box with its object; no gradient passes.
    """
    logits = jnp.asarray(logits, jnp.float32)
    q = jax.lax.stop_gradient(jnp.asarray(quality, jnp.float32))
    nothing = alpha * jnp.exp(-gamma * jax.nn.softplus(-logits)) * jax.nn.softplus(logits)
    fitting = q * (jax.nn.softplus(logits) - q * logits)
    return jnp.where(q > 0, fitting, nothing).sum(-1)


def dice(
    logits: Float[Array, "*positions _points"],
    labels: Float[Array, "*positions _points"] | Bool[Array, "*positions _points"],
    *,
    smooth: NotNegative = 1.0,
) -> Float32[Array, "*positions"]:
    """Dice: 1 − (2 Σ p t + s) / (Σ p + Σ t + s) over the points of a mask; (..., P) -> (...).

    V-Net (Milletari et al. 2016, https://arxiv.org/abs/1606.04797), as DETR and Mask2Former have it
    (Cheng et al. 2022, https://arxiv.org/abs/2112.01527).

    Args:
      logits: σ of them is p.
      labels: t, 0 to 1.
      smooth: s; an empty mask that is said to be empty has loss 0. With 0 it has loss 1.
    """
    p = jax.nn.sigmoid(jnp.asarray(logits, jnp.float32))
    t = jnp.asarray(labels, jnp.float32)
    both, whole = 2.0 * (p * t).sum(-1) + smooth, p.sum(-1) + t.sum(-1) + smooth
    return 1.0 - both / jnp.where(whole > 0, whole, 1.0)


def box_l1(
    prediction: Float[Array, "*positions 4"],
    target: Float[Array, "*positions 4"],
    *,
    beta: NotNegative = 0.0,
) -> Float32[Array, "*positions"]:
    """Smooth L1: Σ of e²/(2β) where |e| < β, |e| − β/2 elsewhere; (..., 4), (..., 4) -> (...).

    Of deltas in Fast R-CNN (Girshick 2015, Eq. 3, https://arxiv.org/abs/1504.08083, with β = 1), of
    centres and sizes in DETR (Carion et al. 2020, https://arxiv.org/abs/2005.12872).

    Args:
      beta: β; 0 for the absolute error, as detectron2 and DETR have.
    """
    error = jnp.asarray(target, jnp.float32) - jnp.asarray(prediction, jnp.float32)
    size = jnp.abs(error)
    if beta == 0:
        return size.sum(-1)
    return jnp.where(size < beta, jnp.square(error) / (2.0 * beta), size - beta / 2.0).sum(-1)


def box_giou(
    prediction: Float[Array, "*positions 4"], target: Float[Array, "*positions 4"]
) -> Float32[Array, "*positions"]:
    """1 − GIoU of corners, 0 to 2; (..., 4), (..., 4) -> (...); `detection.giou`.

    Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630.
    """
    return 1.0 - detection.giou(prediction, target)
