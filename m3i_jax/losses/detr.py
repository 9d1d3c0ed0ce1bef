"""Losses of a set of boxes: queries are matched with the objects of an image, and compared.

Carion et al. 2020 (DETR), https://arxiv.org/abs/2005.12872, with focal losses as Zhu et al. 2021
(Deformable DETR), https://arxiv.org/abs/2010.04159, and of noised objects as Zhang et al. 2023
(DINO), https://arxiv.org/abs/2203.03605, constants of https://github.com/IDEA-Research/DINO. Sums
over the batch divide, so that the mean of the values of all images is what they minimise.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int

from m3i_jax.detection.assignment import assign
from m3i_jax.detection.box_sets import BoxAnswers, QueryBoxes, pixels_of
from m3i_jax.detection.boxes import from_centres, pairwise_giou, to_centres
from m3i_jax.losses.detection import box_giou, box_l1, focal
from m3i_jax.ranges import Weight
from m3i_jax.types import Array, Objects

__all__ = ["box_costs", "box_set"]

Weights = tuple[Weight, Weight, Weight]
WEIGHTS = (1.0, 5.0, 2.0)  # of categories, distances and overlaps
COSTS = (2.0, 5.0, 2.0)  # of the same, in matching
ALPHA, GAMMA = 0.25, 2.0
LEAST = 1e-8  # beside what a logarithm is of, in the cost


class BoxLosses(NamedTuple):
    """(B,) each, sums over all that is said: of categories, distances and overlaps of boxes."""

    category: Float32[Array, " batch"]
    distance: Float32[Array, " batch"]
    overlap: Float32[Array, " batch"]

    def weighted(self, *, weights: Weights = WEIGHTS) -> Float32[Array, " batch"]:
        """w₁ category + w₂ distance + w₃ overlap, (B,)."""
        return weights[0] * self.category + weights[1] * self.distance + weights[2] * self.overlap


def box_costs(
    said: QueryBoxes,
    boxes: Float[Array, "*positions objects 4"],
    kinds: Int[Array, "*positions objects"],
    *,
    weights: Weights = COSTS,
) -> Float32[Array, "*positions queries objects"]:
    """What it costs to match: w₁ focal + w₂ |b − t|₁ − w₃ GIoU, of every query and every object.

        focal = −α (1 − p)^γ ln p + (1 − α) p^γ ln(1 − p),   p = σ of the right category, α ¼, γ 2

    Deformable DETR (Zhu et al. 2021, https://arxiv.org/abs/2010.04159), in their code.

    Args:
      said: logits (..., Q, K) and centres (..., Q, 4) as shares of the image.
      boxes, kinds: those of objects, (..., G, 4) and (..., G); padding, −1, costs something, too.
    """
    p = jax.nn.sigmoid(said.categories.astype(jnp.float32))
    right = -ALPHA * (1.0 - p) ** GAMMA * jnp.log(p + LEAST)
    wrong = -(1.0 - ALPHA) * p**GAMMA * jnp.log(1.0 - p + LEAST)
    index = jnp.maximum(kinds, 0)[..., None, :]
    focal_cost = jnp.take_along_axis(right - wrong, index, axis=-1)
    distance = jnp.abs(said.boxes[..., :, None, :] - boxes[..., None, :, :]).sum(-1)
    overlap = pairwise_giou(from_centres(said.boxes), from_centres(boxes))
    return weights[0] * focal_cost + weights[1] * distance - weights[2] * overlap


def box_set(
    answers: BoxAnswers,
    objects: Objects,
    *,
    size: tuple[int, int],
    costs: Weights = COSTS,
    match: Callable = assign,
) -> BoxLosses:
    """The three losses of every layer and of the proposals, and those of what was noised, added.

        category: Σ_q Σ_k focal / N      distance: Σ_g |b − t|₁ / N      overlap: Σ_g (1 − GIoU) / N

    of all images of the batch, N the number of objects, times that of groups where it was noised:
    there every first copy is matched with its object, and every second one with nothing. DINO
    (Zhang et al. 2023, https://arxiv.org/abs/2203.03605), in their code.

    Args:
      objects: whose corners are in pixels.
      size: (height, width) of the image in pixels.
      costs: of matching, `box_costs`.
      match: who belongs to whom, as `detection.assign` has it; on a mesh one that lets
        each device do its own rows.
    """
    shares = objects.corners / pixels_of(size, extent=objects.extent)
    boxes, kinds = to_centres(shares), objects.categories
    said = jax.tree.map(lambda x, y: jnp.concatenate([x, y[:, None]], 1), *answers[:2])
    outputs = said.boxes.shape[1]
    every_box, every_kind = _spread(boxes, outputs), _spread(kinds, outputs)
    cost = box_costs(jax.lax.stop_gradient(said), every_box, every_kind, weights=costs)
    real = every_kind >= 0
    total = _compared(said, match(cost, real).query, real, every_box, every_kind)
    count = jnp.maximum((kinds >= 0).sum(), 1).astype(jnp.float32)
    total = [x / count for x in total]
    if answers.noised is not None:
        noised = _noised(answers.noised, boxes, kinds)
        groups = answers.noised.boxes.shape[2] // (2 * kinds.shape[1])
        total = [x + y / (count * groups) for x, y in zip(total, noised, strict=True)]
    return BoxLosses(*(x * len(kinds) for x in total))


def _spread(x, outputs):
    """(B, ...) as (B, L, ...)."""
    return jnp.broadcast_to(x[:, None], (len(x), outputs, *x.shape[1:]))


def _noised(said, boxes, kinds):
    """Sums of what was noised: the groups one after the other, of two copies of all objects."""
    objects = kinds.shape[1]
    groups = said.boxes.shape[2] // (2 * objects)
    place = jnp.arange(groups)[:, None] * 2 * objects + jnp.arange(objects)[None]
    repeated = lambda x: jnp.tile(x, (1, groups, *(1,) * (x.ndim - 2)))  # noqa: E731
    boxes, kinds = (_spread(repeated(x), said.boxes.shape[1]) for x in (boxes, kinds))
    query = jnp.broadcast_to(place.reshape(1, 1, -1), kinds.shape)
    # What is made of padding is asked nothing, not even to be nothing.
    real = jnp.tile(kinds[..., :objects] >= 0, (1, 1, 2 * groups))
    return _compared(said, query, kinds >= 0, boxes, kinds, real)


def _compared(
    said: QueryBoxes,
    query: Int[Array, "batch outputs objects"],
    matched: Bool[Array, "batch outputs objects"],
    boxes: Float[Array, "batch outputs objects 4"],
    kinds: Int[Array, "batch outputs objects"],
    real: Bool[Array, "batch outputs queries"] | None = None,
) -> list[Float32[Array, " batch"]]:
    """Sums over outputs, queries and objects: of categories, distances and overlaps."""
    batch, outputs, queries, count = said.categories.shape
    place = jnp.where(matched, query, queries)  # of none: beyond the last
    put = lambda row, at, kind: row.at[at].set(kind, mode="drop")  # noqa: E731
    nothing = jnp.full((batch, outputs, queries), -1, jnp.int32)
    target = jax.vmap(jax.vmap(put))(nothing, place, kinds)
    labels = target[..., None] == jnp.arange(count)[None, None, None]
    entropy = focal(said.categories, labels, alpha=ALPHA, gamma=GAMMA)
    entropy = entropy if real is None else jnp.where(real, entropy, 0.0)
    own = jnp.take_along_axis(said.boxes, query[..., None], axis=2)
    each = box_l1(own, boxes), box_giou(from_centres(own), from_centres(boxes))
    each = [jnp.where(matched, x, 0.0).sum((1, 2)) for x in each]
    return [entropy.sum((1, 2)), *each]
