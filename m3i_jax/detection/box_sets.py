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

__all__ = ["BoxAnswers", "QueryBoxes", "best_boxes", "logit", "proposal_boxes"]

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


def proposal_boxes(
    grids: Sequence[Grid],
) -> tuple[Float32[np.ndarray, "tokens 4"], Bool[np.ndarray, " tokens"]]:
    """A box around every cell of every level, as logits, and whether it lies well inside.

    The sides are .05 · 2^l of the image on level l; a cell is none whose centre, or side, is nearer
    than .01 to the border. (Σ h w, 4) float32 and (Σ h w,) bool; logits are 1e4 of those.
    """
    boxes = []
    for level, (rows, columns) in enumerate(grids):
        y, x = np.meshgrid(
            (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij"
        )
        side = np.full_like(x, BEGIN * 2.0**level)
        boxes.append(np.stack([x, y, side, side], -1).reshape(-1, 4))
    boxes = np.concatenate(boxes)
    inside = ((boxes > 0.01) & (boxes < 0.99)).all(-1)
    kept = np.where(inside[:, None], boxes, 0.5)
    return np.float32(np.where(inside[:, None], np.log(kept / (1 - kept)), FAR)), inside


def best_boxes(said: QueryBoxes, *, size: tuple[int, int], count: int = 300) -> Detections:
    """The `count` best pairs of a query and a category, as objects of an image of `size`.

    Scores are sigmoids; nothing is suppressed. A query may be several objects.

    Args:
      said: (B, Q, ...).
      size: (height, width) in pixels.
    """
    kinds, flat = said.categories.shape[-1], said.categories.astype(jnp.float32)
    flat = jax.nn.sigmoid(flat).reshape(len(flat), -1)
    scores, best = jax.lax.top_k(flat, min(count, flat.shape[1]))
    boxes = jnp.take_along_axis(said.boxes, best[..., None] // kinds, axis=1)
    pixels = jnp.asarray([*size, *size], jnp.float32)[None, None]
    return Detections(from_centres(boxes) * pixels, scores, (best % kinds).astype(jnp.int32))
