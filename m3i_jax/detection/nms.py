"""Non-maximum suppression: of boxes that overlap the one with the highest score stays.

It is exact, and has no loop over boxes: what stays is the fixed point of one line.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Int32

from m3i_jax.detection.boxes import pairwise_iou
from m3i_jax.ranges import Count, Range
from m3i_jax.types import Array

__all__ = ["non_maximum_suppression", "top_kept"]

Overlap = Annotated[float, Range(0, 1, why="an intersection over union")]


def non_maximum_suppression(
    corners: Float[Array, "*positions boxes 4"],
    scores: Float[Array, "*positions boxes"],
    *,
    threshold: Overlap,
    categories: Int[Array, "*positions boxes"] | None = None,
    valid: Bool[Array, "*positions boxes"] | None = None,
) -> Bool[Array, "*positions boxes"]:
    """Which boxes stay; (..., N, 4), (..., N) -> (..., N), in the order in which they came.

        keep_i  =  valid_i  and no j before i:  keep_j  and  IoU_ij > threshold

    in falling order of scores, of equal ones the first that came. The line holds for one set only:
    greedy suppression's. Iterated from all that is valid, it has the first i of it right after i
    times, and all of it after as many as the longest chain of boxes that suppress each other, most
    often fewer than ten. Neubeck and Van Gool 2006, https://doi.org/10.1109/ICPR.2006.479; the
    overlap is compared as in torchvision, so one of exactly the threshold stays.

    In memory are N² bools for every set of boxes, 4 MB of the 2000 proposals of a level.

    Args:
      threshold: of the IoU.
      categories: boxes of different ones do not know of each other; None = all are of one.
      valid: False is never kept, and suppresses nothing. Nor does what has a score that is NaN.
    """
    corners, scores = jnp.asarray(corners, jnp.float32), jnp.asarray(scores, jnp.float32)
    real = ~jnp.isnan(scores)
    real = real if valid is None else real & valid
    order = jnp.argsort(jnp.where(real, -scores, jnp.inf), axis=-1, stable=True)
    boxes = jnp.take_along_axis(corners, order[..., None], -2)
    over = pairwise_iou(boxes, boxes) > threshold
    if categories is not None:
        kind = jnp.take_along_axis(jnp.asarray(categories), order, -1)
        over &= kind[..., :, None] == kind[..., None, :]
    kept = _fixed_point(jnp.tril(over, -1), jnp.take_along_axis(real, order, -1))
    return jnp.take_along_axis(kept, jnp.argsort(order, axis=-1), -1)


def top_kept(
    keep: Bool[Array, "*positions boxes"], scores: Float[Array, "*positions boxes"], *, count: Count
) -> tuple[Int32[Array, "*positions {count}"], Bool[Array, "*positions {count}"]]:
    """The best of what stays, as many places for each set; (..., N), (..., N) -> two (..., count).

    Returns:
      Numbers of boxes in falling order of scores, of equal ones the first that came, and which
      places have one; the others say 0.
    """
    size = keep.shape[-1]
    ranked = jnp.where(keep, jnp.asarray(scores, jnp.float32), -jnp.inf)
    _, index = jax.lax.top_k(ranked, min(count, size))
    found = jnp.take_along_axis(keep, index, -1)
    index = jnp.where(found, index, 0).astype(jnp.int32)
    missing = [(0, 0)] * (keep.ndim - 1) + [(0, count - index.shape[-1])]
    return jnp.pad(index, missing), jnp.pad(found, missing)


def _fixed_point(
    suppresses: Bool[Array, "*positions boxes boxes"], real: Bool[Array, "*positions boxes"]
) -> Bool[Array, "*positions boxes"]:
    """What stays of boxes in order. suppresses: [i, j] whether j, before i, suppresses i."""

    def body(carry):
        kept, _ = carry
        after = real & ~(suppresses & kept[..., None, :]).any(-1)
        return after, (after != kept).any()

    return jax.lax.while_loop(lambda carry: carry[1], body, (real, jnp.bool_(True)))[0]
