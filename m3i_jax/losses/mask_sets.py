"""Losses of a set of masks: queries are matched with what is in an image, and compared at points.

Cheng et al. 2022 (Mask2Former), section 3.2, https://arxiv.org/abs/2112.01527, with the constants
of https://github.com/facebookresearch/Mask2Former. Sums over the batch divide, so that the mean of
the values of all images is what the paper minimises.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32, Int, UInt8

from m3i_jax.detection.assignment import assign
from m3i_jax.detection.mask_sets import MaskAnswers
from m3i_jax.detection.points import bilinear_cells, most_uncertain, point_sample, point_sample_each
from m3i_jax.losses.detection import dice
from m3i_jax.ranges import Weight
from m3i_jax.types import Array, Objects

__all__ = [
    "mask_costs",
    "mask_set",
    "masks_of_categories",
    "masks_of_objects",
]

Weights = tuple[Weight, Weight, Weight]
WEIGHTS = (2.0, 5.0, 5.0)  # of categories, cross-entropies and overlaps
NOTHING = 0.1  # weight of queries that are nothing, in the cross-entropy of categories


class MaskTargets(NamedTuple):
    """What is in each image, as masks that can be read anywhere.

    categories: (B, G) int32, −1 = padding.
    at: (B, P, 2) of (row, column) as shares of the image -> (B, G, P) float32, 0 to 1: how much of
      each is there.
    """

    categories: Int[Array, "batch objects"]
    at: Callable[[Float[Array, "batch points 2"]], Float[Array, "batch objects points"]]


class SetLosses(NamedTuple):
    """Sums over the outputs of a head, (B,) each: of categories, cross-entropies and overlaps."""

    category: Float32[Array, " batch"]
    mask: Float32[Array, " batch"]
    dice: Float32[Array, " batch"]

    def weighted(self, *, weights: Weights = WEIGHTS) -> Float32[Array, " batch"]:
        """w₁ category + w₂ mask + w₃ dice, (B,)."""
        return weights[0] * self.category + weights[1] * self.mask + weights[2] * self.dice


def masks_of_objects(objects: Objects, *, size: tuple[int, int]) -> MaskTargets:
    """Masks in the frames of their corners, linear between the cells of a frame, 0 outside.

    What Mask2Former compares at points (Cheng et al. 2022, https://arxiv.org/abs/2112.01527).

    Args:
      objects: with masks.
      size: (height, width) of the image in pixels.

    Raises:
      ValueError: the objects have no masks.
    """
    if objects.masks is None:
        raise ValueError("a loss of masks gets objects that have none, but for their corners")
    masks, box = objects.masks, objects.corners.astype(jnp.float32)
    sides = jnp.maximum(box[..., 2:] - box[..., :2], 1e-6)
    cells = jnp.asarray(masks.shape[2:], jnp.float32)[None, None, None]
    pixels = jnp.asarray(size, jnp.float32)[None, None]

    def at(points):
        place = (points.astype(jnp.float32) * pixels)[:, None] - box[:, :, None, :2]
        return point_sample_each(masks, place / sides[:, :, None] * cells - 0.5)

    return MaskTargets(objects.categories, at)


def masks_of_categories(
    labels: UInt8[Array, "batch height width"], *, classes: int, most: int
) -> MaskTargets:
    """Every category that is in an image as one object, linear between its pixels.

    Pixels of 255, which nobody has named, are in no mask (MaskFormer, Cheng et al. 2021,
    https://arxiv.org/abs/2107.06278, in their code).

    Args:
      labels: (B, H, W) of categories from 0.
      classes: how many there are; what is not below it is no category.
      most: how many an image has at most: those of most pixels, as many places as there are.
    """
    grid, flat = labels.shape[1:], labels.reshape(len(labels), -1).astype(jnp.int32)
    count = lambda row: jnp.zeros(classes, jnp.int32).at[row].add(1, mode="drop")  # noqa: E731
    pixels, kinds = jax.lax.top_k(jax.vmap(count)(flat), min(most, classes))
    kinds = jnp.where(pixels > 0, kinds, -1).astype(jnp.int32)

    def at(points):
        size = jnp.asarray(grid, jnp.float32)[None, None]
        around = bilinear_cells(points.astype(jnp.float32) * size - 0.5, grid)
        total = jnp.zeros((*kinds.shape, points.shape[1]), jnp.float32)
        for number in range(4):
            label = jnp.take_along_axis(flat, around.cells[..., number], axis=1)
            same = label[:, None] == kinds[:, :, None]
            total = total + jnp.where(same, around.weights[:, None, :, number], 0.0)
        return total

    return MaskTargets(kinds, at)


def mask_costs(
    categories: Float[Array, "batch queries _categories"],
    logits: Float[Array, "batch queries points"],
    kinds: Int[Array, "batch objects"],
    masks: Float[Array, "batch objects points"],
    *,
    weights: Weights = WEIGHTS,
) -> Float32[Array, "batch queries objects"]:
    """What it costs to match: −w₁ p_q(k) + w₂ BCE + w₃ dice, of every query and every object.

        BCE = mean_P [softplus(l) − l t]        dice = 1 − (2 Σ σ(l) t + 1) / (Σ σ(l) + Σ t + 1)

    Mask2Former (Cheng et al. 2022, https://arxiv.org/abs/2112.01527).

    Args:
      categories: logits (B, Q, K + 1), the last of "nothing".
      logits, masks: l (B, Q, P) and t (B, G, P), at the same points.
      kinds: k (B, G); what stands for padding, −1, costs something, too.
    """
    p = jax.nn.softmax(categories.astype(jnp.float32), axis=-1)
    right = jnp.take_along_axis(p, jnp.maximum(kinds, 0)[:, None], axis=2)
    l, t = logits.astype(jnp.float32), masks.astype(jnp.float32)
    products = lambda x: jnp.einsum("bqp,bgp->bqg", x, t, precision="highest")  # noqa: E731
    entropy = (jax.nn.softplus(l).sum(-1)[..., None] - products(l)) / l.shape[-1]
    inside = jax.nn.sigmoid(l)
    sums = inside.sum(-1)[..., None] + t.sum(-1)[:, None]
    overlap = 1.0 - (2.0 * products(inside) + 1.0) / (sums + 1.0)
    return weights[1] * entropy - weights[0] * right + weights[2] * overlap


def mask_set(
    answers: MaskAnswers,
    targets: MaskTargets,
    *,
    weights: Weights = WEIGHTS,
    nothing: Weight = NOTHING,
    match: Callable = assign,
) -> SetLosses:
    """The three losses of every output, each matched by itself, and added; (B,) each.

        category: Σ_q w_q CE_q / Σ_q w_q      mask: Σ_g BCE_g / G      dice: Σ_g dice_g / G

    of all images of the batch, where w is 1 of queries that are matched, `nothing` of the others,
    and G the number of objects. A mask is compared at those of the candidates where it is most in
    doubt, and at all others of the points. Mask2Former (Cheng et al. 2022, section 3.2,
    https://arxiv.org/abs/2112.01527).

    Args:
      weights: of the cost of matching, `mask_costs`.
      match: who belongs to whom, as `detection.assign` has it; on a mesh one that lets
        each device do its own rows.
    """
    # One output after the other, and again in the backward pass: their masks are dear.
    one = jax.checkpoint(lambda answer: _output(answer, targets, weights, nothing, match))
    first = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), answers)
    return SetLosses(*(x.sum(0) for x in jax.lax.map(one, first)))


def _output(answer, targets, weights, nothing, match):
    """The losses of one output, whose record has no axis of outputs."""
    categories, masks, points = answer
    fixed = jax.lax.stop_gradient((categories, masks))
    seen = point_sample(fixed[1], points.matching)
    costs = mask_costs(
        fixed[0], seen, targets.categories, targets.at(points.matching), weights=weights
    )
    real = targets.categories >= 0
    matched = match(costs, real).query, real
    entropy = _categories(categories, targets.categories, *matched, nothing)
    return entropy, *_masks(masks, targets, points, *matched)


def _categories(logits, kinds, query, matched, nothing):
    """(B,) of the cross-entropy over all queries, whose mean is divided by all weights."""
    batch, queries, last = logits.shape[0], logits.shape[1], logits.shape[2] - 1
    place = jnp.where(matched, query, queries)  # of none: beyond the last, where nothing is put
    put = lambda row, at, kind: row.at[at].set(kind, mode="drop")  # noqa: E731
    target = jax.vmap(put)(jnp.full((batch, queries), last, jnp.int32), place, kinds)
    p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    entropy = -jnp.take_along_axis(p, target[..., None], axis=-1)[..., 0]
    weight = jnp.where(target == last, nothing, 1.0)
    total = weight.sum()
    return batch * (weight * entropy).sum(1) / jnp.where(total > 0, total, 1.0)


def _masks(masks, targets, points, query, matched):
    """(B,), (B,) of cross-entropies and overlaps, whose means are divided by all objects."""
    own = jnp.take_along_axis(masks, query[:, :, None, None], axis=1)
    at = jnp.concatenate([points.candidates, points.others], axis=1)
    logits, true = point_sample(own, at), targets.at(at)
    tried, others = points.candidates.shape[1], points.others.shape[1]
    count = _doubtful(tried, points)
    chosen = most_uncertain(jax.lax.stop_gradient(logits[..., :tried]), count)
    rest = jnp.broadcast_to(tried + jnp.arange(others), (*chosen.shape[:2], others))
    chosen = jnp.concatenate([chosen, rest], axis=2)
    logits, true = (jnp.take_along_axis(x, chosen, axis=2) for x in (logits, true))
    entropy = (jax.nn.softplus(logits) - logits * true).mean(-1)
    each = jnp.stack([entropy, dice(logits, true)])
    share = len(masks) / jnp.maximum((targets.categories >= 0).sum(), 1).astype(jnp.float32)
    sums = jnp.where(matched[None], each, 0.0).sum(-1) * share
    return sums[0], sums[1]


def _doubtful(tried, points):
    """How many of the candidates enter the loss: with the others they are as many as match."""
    return min(tried, points.matching.shape[1] - points.others.shape[1])
