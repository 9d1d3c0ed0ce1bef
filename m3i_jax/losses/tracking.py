"""Losses of a tracker, of what it says of every cell of a region: how sure it is, and which box.

Lin et al. 2022 (SwinTrack), https://arxiv.org/abs/2112.00995; both are (B,), whose mean is a sum
over all cells of the batch divided by what the whole batch has.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from m3i_jax.detection import boxes
from m3i_jax.detection.tracking import Tracked, cells_inside
from m3i_jax.losses.detection import varifocal
from m3i_jax.types import Array

__all__ = ["tracked_place", "tracked_sureness"]


def tracked_sureness(said: Tracked, corners: Float[Array, "batch 4"]) -> Float32[Array, " batch"]:
    """How sure cells are beside how good their boxes are: (B,), Σ VFL(logit, q) / N.

    q is the IoU of a cell's box with the object where the cell is in it, else 0; N is how many such
    cells the batch has. VFL: Zhang et al. 2021, Eq. 2, https://arxiv.org/abs/2008.13367.

    corners: (B, 4) of the object, in pixels of the region.
    """
    there = cells_inside(said.cells, corners)
    good = boxes.iou(jax.lax.stop_gradient(said.corners), _at_cells(corners, said))
    total = varifocal(said.logits, jnp.where(there, good, 0.0))
    return total * len(corners) / jnp.maximum(there.sum().astype(jnp.float32), 1.0)


def tracked_place(said: Tracked, corners: Float[Array, "batch 4"]) -> Float32[Array, " batch"]:
    """How far boxes are from the object: (B,), Σ w (1 − GIoU) / Σ_batch w over the cells in it.

    w = σ(logit), through which no gradient flows: the surest cells count most. SwinTrack (Lin et
    al. 2022, https://arxiv.org/abs/2112.00995).

    corners: (B, 4) of the object, in pixels of the region.
    """
    there = cells_inside(said.cells, corners)
    weight = jnp.where(there, jax.lax.stop_gradient(jax.nn.sigmoid(said.logits)), 0.0)
    far = (weight * (1.0 - boxes.giou(said.corners, _at_cells(corners, said)))).sum(-1)
    return far * len(corners) / jnp.maximum(weight.sum(), jnp.finfo(jnp.float32).tiny)


def _at_cells(corners: Float[Array, "batch 4"], said: Tracked) -> Float[Array, "batch tokens 4"]:
    """The object of an image at each of its cells."""
    return jnp.broadcast_to(corners[:, None], said.corners.shape)
