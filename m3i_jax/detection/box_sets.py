"""What a set of queries, each with categories and a box, says of an image, and where it begins.

Boxes are centres, (..., 4) x, y, width, height as shares of the image: the numbers of DETR (Carion
et al. 2020, https://arxiv.org/abs/2005.12872). Zhu et al. 2021 (Deformable DETR), appendix A.4,
https://arxiv.org/abs/2010.04159; Zhang et al. 2023 (DINO), https://arxiv.org/abs/2203.03605.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32

from m3i_jax.detection.boxes import from_centres
from m3i_jax.types import Array, Detections, Grid

__all__ = ["BoxAnswers", "QueryBoxes", "best_boxes", "logit", "pixels_of", "proposal_boxes"]

NEAREST = 1e-3  # to 0 and 1, of a share that is said as a logit
BEGIN = 0.05  # side of the boxes of the finest level
FAR = 1e4  # a logit whose sigmoid is 1, for finite gradients


class QueryBoxes(NamedTuple):
    """Of each query, logits of categories (..., Q, K) and centres of boxes (..., Q, 4), float32."""

    categories: Float[Array, "*positions queries classes"]
    boxes: Float[Array, "*positions queries 4"]


class BoxAnswers(NamedTuple):
    """What a head of boxes says in training.

    layers: (B, L, Q, ...), of every layer of the decoder.
    proposals: (B, Q, ...), of the cells that were chosen as queries.
    noised: (B, L, T, ...) of queries made of noised objects, T = groups · 2 · G, the groups one
      after the other, in each first all objects a little and then all far off; None = no objects.
    """

    layers: QueryBoxes
    proposals: QueryBoxes
    noised: QueryBoxes | None = None


def logit(shares: Float[Array, "*shape"], *, nearest: float = NEAREST) -> Float32[Array, "*shape"]:
    """ln(s / (1 − s)) of shares, s and 1 − s at least `nearest`."""
    shares = jnp.clip(shares.astype(jnp.float32), 0.0, 1.0)
    return jnp.log(jnp.maximum(shares, nearest) / jnp.maximum(1.0 - shares, nearest))


def pixels_of(
    size: tuple[int, int], *, extent: Float[Array, "batch 2"] | None = None
) -> Float32[Array, "#batch 1 4"]:
    """What a share of 1 is in pixels, of the four numbers of a box: (B, 1, 4).

    size: (height, width) of a view.   extent: (B, 2) of what of it is image; None = all of it.
    """
    sides = jnp.asarray([size], jnp.float32) if extent is None else extent.astype(jnp.float32)
    return jnp.tile(sides, 2)[:, None]


def proposal_boxes(
    grids: Sequence[Grid], *, part: Float[Array, "batch 2"] | None = None
) -> tuple[Float32[Array, "#batch tokens 4"], Bool[Array, "#batch tokens"]]:
    """A box around every cell of every level, as logits, and whether it lies well inside.

    The sides are .05 · 2^l of the image on level l; a cell is none whose centre, or side, is nearer
    than .01 to the border. (B, Σ h w, 4) float32 and (B, Σ h w) bool; logits are 1e4 of those.

    part: (B, 2) shares of the rows and columns that are image, which boxes are shares of; None =
      all, of every image alike.
    """
    boxes = []
    for level, (rows, columns) in enumerate(grids):
        y, x = np.meshgrid(
            (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij"
        )
        side = np.full_like(x, BEGIN * 2.0**level)
        boxes.append(np.stack([x, y, side, side], -1).reshape(-1, 4))
    boxes = jnp.asarray(np.concatenate(boxes), jnp.float32)[None]
    if part is not None:
        ones = jnp.ones_like(part)
        boxes = boxes / jnp.concatenate([part[:, ::-1], ones], axis=1)[:, None]
    inside = ((boxes > 0.01) & (boxes < 0.99)).all(-1)
    kept = jnp.where(inside[..., None], boxes, 0.5)
    return jnp.where(inside[..., None], jnp.log(kept / (1 - kept)), FAR), inside


def best_boxes(
    said: QueryBoxes,
    *,
    size: tuple[int, int],
    extent: Float[Array, "batch 2"] | None = None,
    count: int = 300,
) -> Detections:
    """The `count` best pairs of a query and a category, as objects of an image of `size`.

    Scores are sigmoids; nothing is suppressed. A query may be several objects.

    Args:
      said: (B, Q, ...).
      size, extent: (height, width) in pixels, see `pixels_of`.
    """
    kinds, flat = said.categories.shape[-1], said.categories.astype(jnp.float32)
    flat = jax.nn.sigmoid(flat).reshape(len(flat), -1)
    scores, best = jax.lax.top_k(flat, min(count, flat.shape[1]))
    boxes = jnp.take_along_axis(said.boxes, best[..., None] // kinds, axis=1)
    corners = from_centres(boxes) * pixels_of(size, extent=extent)
    return Detections(corners, scores, (best % kinds).astype(jnp.int32))
