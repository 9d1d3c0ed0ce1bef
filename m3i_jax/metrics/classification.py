"""Whether the right category is among the likeliest."""

import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int, Shaped

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
