"""Which boxes are objects, which are background, and which of them a step learns from.

Anchors and proposals are matched with the objects that they overlap, as many as there are (Faster
R-CNN, Ren et al. 2015, https://arxiv.org/abs/1506.01497, in the rules of detectron2,
https://github.com/facebookresearch/detectron2); then a fixed number is drawn of them.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int, Int32, Key

from m3i_jax.detection.boxes import pairwise_iou
from m3i_jax.ranges import Count, Range, Share
from m3i_jax.types import Array

__all__ = ["Matches", "Sampled", "match", "sample"]

Threshold = Annotated[float, Range(0, 1, above=True, why="an intersection over union")]
ROUNDED = 1e-6  # of two overlaps that are equal: areas have 24 bits
FOREGROUND, BACKGROUND, IGNORED = 1, 0, -1


class Matches(NamedTuple):
    """What each box is of.

    index: (..., N) the object that it overlaps most, of equal ones the first; 0 where is none.
    label: (..., N) 1 = it is this object, 0 = it is background, −1 = neither, nobody learns of it.
    iou: (..., N) its overlap with this object.
    """

    index: Int32[Array, "*positions boxes"]
    label: Int32[Array, "*positions boxes"]
    iou: Float32[Array, "*positions boxes"]


class Sampled(NamedTuple):
    """Boxes that are drawn, foreground first, then background, then places that are left over.

    index: (..., count) numbers of boxes, 0 where nothing is left.
    valid: (..., count) which places have a box.
    positive: (..., count) which have one of the foreground.
    """

    index: Int32[Array, "*positions places"]
    valid: Bool[Array, "*positions places"]
    positive: Bool[Array, "*positions places"]


def match(
    boxes: Float[Array, "... boxes 4"],
    objects: Float[Array, "*positions objects 4"],
    present: Bool[Array, "*positions objects"],
    *,
    low: Threshold = 0.5,
    high: Threshold = 0.5,
    closest: bool = False,
) -> Matches:
    """Each box with the object that it overlaps most; (..., N, 4), (..., G, 4) -> (..., N).

        label = 1 where IoU ≥ high,   0 where IoU < low,   −1 between

    Proposals have .5 and .5; anchors .3 and .7, and those that are `closest` to an object.

    Args:
      boxes: proposals, or anchors, (N, 4) where all sets of objects have the same.
      present: which objects are no padding.
      low, high: of the IoU.
      closest: of each object, all boxes that overlap it as much as the best one does (to 1e-6) are
        foreground, too, as long as they touch it. Their `index` stays: of what they overlap most.

    Raises:
      ValueError: low is more than high.
    """
    if low > high:
        raise ValueError(f"boxes under {low} are background and from {high} on objects: which are?")
    objects = jnp.asarray(objects, jnp.float32)
    if not objects.shape[-2]:  # then one that is not there, as the best of nothing is none
        objects = jnp.zeros((*objects.shape[:-2], 1, 4), jnp.float32)
        present = jnp.zeros(objects.shape[:-1], bool)
    boxes = jnp.asarray(boxes, jnp.float32)
    boxes = jnp.broadcast_to(boxes, (*objects.shape[:-2], *boxes.shape[-2:]))
    overlap = jnp.where(present[..., None, :], pairwise_iou(boxes, objects), -1.0)
    best = jnp.maximum(overlap.max(-1), 0.0)
    label = jnp.where(best >= high, FOREGROUND, jnp.where(best < low, BACKGROUND, IGNORED))
    if closest:
        reached = overlap.max(-2, keepdims=True, initial=0.0)
        # Rounded, they differ where they are equal, and even one that is computed twice may.
        near = ((overlap >= reached * (1 - ROUNDED)) & (overlap > 0)).any(-1)
        label = jnp.where(near, FOREGROUND, label)
    index = jnp.where(present.any(-1, keepdims=True), overlap.argmax(-1), 0)
    return Matches(index.astype(jnp.int32), label.astype(jnp.int32), best)


def sample(
    key: Key[Array, ""], label: Int[Array, "*positions boxes"], *, count: Count, positive: Share
) -> Sampled:
    """Draws a fixed number of boxes, each at most once, all alike likely; (..., N) -> (..., count).

    Of the foreground as many as there are, and at most ⌊positive·count⌋; of the background as many
    as are missing then; what is left over is said to be no box.

    Args:
      label: 1 foreground, 0 background, all else is never drawn.
      count: 256 anchors or 512 proposals of an image in detectron2.
      positive: the largest share of foreground: ½ of anchors, ¼ of proposals.
    """
    size = label.shape[-1]
    quota = min(int(positive * count), count)
    noise = jax.random.uniform(key, label.shape)
    front, back = (label == kind for kind in (FOREGROUND, BACKGROUND))
    first, second = (
        jax.lax.top_k(jnp.where(kind, noise, -1.0), min(most, size))[1].astype(jnp.int32)
        for kind, most in ((front, quota), (back, count))
    )
    fronts, backs = (jnp.sum(kind, -1, keepdims=True, dtype=jnp.int32) for kind in (front, back))
    fronts = jnp.minimum(fronts, quota)
    place = jnp.broadcast_to(jnp.arange(count, dtype=jnp.int32), (*label.shape[:-1], count))
    chosen, valid = place < fronts, place < fronts + backs
    index = _at(second, place - fronts)
    if quota:
        index = jnp.where(chosen, _at(first, place), index)
    return Sampled(jnp.where(valid, index, 0), valid, chosen)


def _at(
    numbers: Int32[Array, "*positions most"], place: Int32[Array, "*positions places"]
) -> Int32[Array, "*positions places"]:
    """The numbers in these places; the first or last beyond them, which nobody looks at."""
    return jnp.take_along_axis(numbers, jnp.clip(place, 0, numbers.shape[-1] - 1), -1)
