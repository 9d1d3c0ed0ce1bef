"""Masks in the frame of a box: from one frame to another, and back to the pixels of an image.

A mask says of a box what of it is the object, as a grid from edge to edge of the box, whatever the
size of either (Mask R-CNN, He et al. 2017, https://arxiv.org/abs/1703.06870). Both ways are
separable, so a mask of an image or of a frame is one product with a matrix for each axis.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, Real

from m3i_jax.detection.roi_align import tents
from m3i_jax.ranges import Range
from m3i_jax.types import Array, Grid

__all__ = ["cut", "pasted", "reframed"]

Probable = Annotated[float, Range(0, 1, above=True, why="at 0 every pixel is the object")]


def cut(
    masks: Real[Array, "*positions height width"],
    corners: Float[Array, "*positions 4"],
    *,
    size: Grid,
) -> Float32[Array, "*positions _rows _columns"]:
    """Masks of an image in the frames of boxes; (..., H, W), (..., 4) -> (..., *size).

    ROIAlign of the mask, as detectron2 makes the targets of mask heads
    (https://github.com/facebookresearch/detectron2): at least ½ is the object.

    Args:
      masks: 0 and 1 of each pixel, or any shares.
      corners: in pixels; what lies outside of the image is 0.
    """
    whole = jnp.array([0, 0, *masks.shape[-2:]], jnp.float32)
    return reframed(masks, jnp.broadcast_to(whole, corners.shape), corners, size=size)


def reframed(
    masks: Real[Array, "*positions height width"],
    frame: Float[Array, "*positions 4"],
    corners: Float[Array, "*positions 4"],
    *,
    size: Grid,
) -> Float32[Array, "*positions _rows _columns"]:
    """Masks in frames of their own in those of other boxes; (..., h, w) -> (..., *size).

    The mean of ⌈bin⌉ x ⌈bin⌉ samples of each cell, linear between the centres of the mask's cells,
    as of `roi_aligned`; there is no object outside of its own frame. No gradient passes to boxes.

    Args:
      masks: (..., h, w), as of `types.Objects`.
      frame: corners of the boxes that they are in; an empty one has no object.
      corners: the boxes that they shall be in, such as proposals.
      size: (rows, columns) of the grids.
    """
    frame, corners = (jax.lax.stop_gradient(jnp.asarray(x, jnp.float32)) for x in (frame, corners))
    axes = []
    for i, cells in enumerate(masks.shape[-2:]):
        own = frame[..., 2 + i] - frame[..., i]
        # Cells of a pixel; a frame of nothing has none, and then the box has no extent.
        scale = jnp.where(own > 0, cells / jnp.where(own > 0, own, 1.0), 0.0)
        start = (corners[..., i] - frame[..., i]) * scale - 0.5
        extent = (corners[..., 2 + i] - corners[..., i]) * scale
        axes.append(tents(start, extent, bins=size[i], cells=cells, margin=0.5))
    masks = jnp.asarray(masks, jnp.float32)
    rows = jnp.einsum("...ih,...hw->...iw", axes[0], masks, precision="highest")
    return jnp.einsum("...iw,...jw->...ij", rows, axes[1], precision="highest")


def pasted(
    masks: Float[np.ndarray, "found _rows _columns"],
    corners: Float[np.ndarray, "found 4"],
    extent: Grid,
    *,
    threshold: Probable = 0.5,
) -> Bool[np.ndarray, "found _height _width"]:
    """Which pixels of an image are the object of each box; (N, h, w), (N, 4) -> (N, H, W).

    At the centre of a pixel the mask is linear between the centres of its cells, with 0 around it:
    `grid_sample(align_corners=False)` of PyTorch, as detectron2 pastes masks
    (https://github.com/facebookresearch/detectron2). In NumPy, of the pixels of a box alone.

    Args:
      masks: how probable it is that the object is there, in the frame of its box.
      corners: in pixels of the image; an empty box has no pixel.
      extent: (height, width) of the image.
      threshold: a pixel with this much or more is the object.
    """
    out = np.zeros((len(masks), *extent), bool)
    for number, (mask, box) in enumerate(zip(masks, np.float32(corners), strict=True)):
        if not (np.isfinite(box).all() and (box[2:] > box[:2]).all()):
            continue
        # A cell beyond the frame the mask is 0.
        reach = (box[2:] - box[:2]) / mask.shape + 1
        first = np.clip(np.floor(box[:2] - reach), 0, extent).astype(int)
        end = np.clip(np.ceil(box[2:] + reach), 0, extent).astype(int)
        down, across = (
            _weights(*x) for x in zip(first, end, box[:2], box[2:], mask.shape, strict=True)
        )
        part = tuple(slice(*ends) for ends in zip(first, end, strict=True))
        out[number][part] = down @ np.float32(mask) @ across.T >= threshold
    return out


def _weights(
    first: int, end: int, low: float, high: float, cells: int
) -> Float32[np.ndarray, "_pixels {cells}"]:
    """How much each cell counts at the centre of each pixel of an axis."""
    at = (np.arange(first, end, dtype=np.float32) + 0.5 - low) / (high - low) * cells - 0.5
    return np.maximum(1 - np.abs(at[:, None] - np.arange(cells, dtype=np.float32)), 0)
