"""Queries made of noised objects, which a detector learns to undo, and which of them it is to drop.

Contrastive denoising of DINO, Zhang et al. 2023, section 3.3, https://arxiv.org/abs/2203.03605,
after Li et al. 2022 (DN-DETR), https://arxiv.org/abs/2203.01305. Boxes are centres, x, y, width,
height as shares of the image.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Key

from m3i_jax.types import Array

__all__ = ["NoisedObjects", "denoising_mask", "noised_objects"]


class NoisedObjects(NamedTuple):
    """Queries of noised objects, T = groups · 2 · G of them, as in `box_sets.BoxAnswers`.

    boxes: (B, T, 4) centres.  categories: (B, T) int32, of padding 0.  real: (B, T) bool.
    """

    boxes: Float[Array, "batch queries 4"]
    categories: Int[Array, "batch queries"]
    real: Bool[Array, "batch queries"]


def noised_objects(
    key: Key[Array, ""],
    boxes: Float[Array, "batch objects 4"],
    categories: Int[Array, "batch objects"],
    *,
    groups: int,
    classes: int,
    shift: float = 0.4,
    flips: float = 0.25,
) -> NoisedObjects:
    """Objects whose corners are moved, and whose categories are drawn anew by a chance of `flips`.

    Each corner coordinate moves by ± u · shift · half of the side, u in [0, 1) of the first copy in
    a group, in [1, 2) of the second, and not beyond the image.

    Args:
      boxes: (B, G, 4) centres.
      categories: (B, G) int, −1 = padding.
      groups: of two copies of each object.
      classes: how many there are.
      shift: .4.
      flips: .25, half of the published .5, as half of those are.
    """
    batch, objects = categories.shape
    copies = groups, 2, objects
    moved, sign, flip, kind = jax.random.split(key, 4)
    x, y, width, height = (boxes.astype(jnp.float32)[:, None, None, :, i] for i in range(4))
    corners = jnp.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1)
    half = jnp.stack([width, height, width, height], -1) / 2
    shape = batch, *copies, 4
    far = jnp.arange(2, dtype=jnp.float32)[None, None, :, None, None]
    amount = jax.random.uniform(moved, shape, jnp.float32) + far
    way = jnp.where(jax.random.bernoulli(sign, 0.5, shape), 1.0, -1.0)
    corners = jnp.clip(corners + way * amount * half * shift, 0.0, 1.0)
    low, high = corners[..., :2], corners[..., 2:]
    made = jnp.concatenate([(low + high) / 2, high - low], -1)
    drawn = jax.random.randint(kind, (batch, *copies), 0, classes, jnp.int32)
    change = jax.random.bernoulli(flip, flips, (batch, *copies))
    own = categories.astype(jnp.int32)[:, None, None]
    kinds = jnp.where(change, drawn, jnp.broadcast_to(own, drawn.shape))
    real = jnp.broadcast_to(own >= 0, drawn.shape)
    return NoisedObjects(
        made.reshape(batch, -1, 4),
        jnp.where(real, kinds, 0).reshape(batch, -1),
        real.reshape(batch, -1),
    )


def denoising_mask(
    real: Bool[Array, "batch noised"], queries: int, *, groups: int
) -> Bool[Array, "batch 1 all all"]:
    """Which queries see which, noised ones first, (B, 1, T + Q, T + Q), True = attends.

    Groups do not see each other, the other queries do not see any group, and nobody sees padding.
    """
    count = real.shape[1]
    own = np.arange(count) // (count // groups) if count else np.zeros(0, int)
    group = np.concatenate([own, np.full(queries, -1)])
    apart = (group[None] == -1) | (group[:, None] == group[None])
    kept = jnp.concatenate([real, jnp.ones((len(real), queries), bool)], axis=1)
    return jnp.asarray(apart)[None, None] & kept[:, None, None]
