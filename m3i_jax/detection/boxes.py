"""Boxes: how large they are, how much they overlap, and how one is said as seen from another.

Boxes are corners, (..., 4) top, left, bottom, right in pixels, or in any other unit. All is
float32. A box whose bottom is above its top, or whose right is left of its left, is empty.
"""

import math
from typing import Annotated

import jax.numpy as jnp
from jaxtyping import Float, Float32

from m3i_jax.ranges import Positive, Range
from m3i_jax.types import Array

__all__ = [
    "area",
    "clip",
    "decode",
    "encode",
    "from_centres",
    "giou",
    "iou",
    "pairwise_giou",
    "pairwise_iou",
    "to_centres",
]

# Below that an area is 0: 1/area², in the gradient of a quotient, would leave float32.
LEAST_AREA = 1e-15
# exp of more makes of any anchor a box that is larger than an image.
LARGEST = math.log(1000 / 16)
Weights = tuple[Positive, Positive, Positive, Positive]
Largest = Annotated[float, Range(0, 80, why="its exponential is a number of float32")]


def area(corners: Float[Array, "*positions 4"]) -> Float32[Array, "*positions"]:
    """Height times width, 0 of an empty box; (..., 4) -> (...)."""
    top, left, bottom, right = _sides(corners)
    return jnp.maximum(bottom - top, 0.0) * jnp.maximum(right - left, 0.0)


def iou(
    a: Float[Array, "*positions 4"], b: Float[Array, "*positions 4"]
) -> Float32[Array, "*positions"]:
    """Intersection over union, |a ∩ b| / |a ∪ b|, of each pair; (..., 4), (..., 4) -> (...).

    0 where the union is nothing, and where it is less than 1e-15; gradients are finite everywhere.
    """
    return _overlap(a, b)[0]


def pairwise_iou(
    a: Float[Array, "*positions boxes 4"], b: Float[Array, "*positions objects 4"]
) -> Float32[Array, "*positions boxes objects"]:
    """`iou` of every box of `a` with every one of `b`; (..., N, 4), (..., M, 4) -> (..., N, M)."""
    return _overlap(*_every(a, b))[0]


def giou(
    a: Float[Array, "*positions 4"], b: Float[Array, "*positions 4"]
) -> Float32[Array, "*positions"]:
    """Generalised IoU of each pair, −1 to 1; (..., 4), (..., 4) -> (...).

        GIoU = IoU − |C \\ (a ∪ b)| / |C|,   C the smallest box around both

    Rezatofighi et al. 2019, Algorithm 1, https://arxiv.org/abs/1902.09630. What is nothing, or less
    than 1e-15, divides nothing: its quotient is 0. Gradients are finite everywhere.
    """
    ratio, union = _overlap(a, b)
    return ratio - _quotient(_hull(a, b) - union, _hull(a, b))


def pairwise_giou(
    a: Float[Array, "*positions boxes 4"], b: Float[Array, "*positions objects 4"]
) -> Float32[Array, "*positions boxes objects"]:
    """`giou` of every box of `a` with every one of `b`; (..., N, 4), (..., M, 4) -> (..., N, M)."""
    return giou(*_every(a, b))


def clip(
    corners: Float[Array, "*positions 4"], extent: tuple[float, float]
) -> Float32[Array, "*positions 4"]:
    """Boxes as far as they lie in an image; (..., 4) -> (..., 4).

    Args:
      extent: (height, width) of the image; numbers, or arrays of one number.
    """
    height, width = extent
    top, left, bottom, right = _sides(corners)
    rows = [jnp.clip(x, 0.0, height) for x in (top, bottom)]
    columns = [jnp.clip(x, 0.0, width) for x in (left, right)]
    return jnp.stack([rows[0], columns[0], rows[1], columns[1]], -1)


def to_centres(corners: Float[Array, "*positions 4"]) -> Float32[Array, "*positions 4"]:
    """Corners as centre and size, in the order of DETR: x, y, width, height; (..., 4) -> (..., 4).

    Carion et al. 2020, https://arxiv.org/abs/2005.12872.
    """
    top, left, bottom, right = _sides(corners)
    return jnp.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], -1)


def from_centres(centres: Float[Array, "*positions 4"]) -> Float32[Array, "*positions 4"]:
    """Centre and size, x, y, width, height, as corners: top, left, bottom, right; (..., 4)."""
    x, y, width, height = _sides(centres)
    return jnp.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], -1)


def encode(
    corners: Float[Array, "*positions 4"],
    reference: Float[Array, "*positions 4"],
    *,
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
) -> Float32[Array, "*positions 4"]:
    """Boxes as seen from others, dx, dy, dw, dh; (..., 4), (..., 4) -> (..., 4).

        dx = w_x (x − x_r)/width_r      dw = w_w ln(width/width_r)     x, y the centres
        dy = w_y (y − y_r)/height_r     dh = w_h ln(height/height_r)

    R-CNN (Girshick et al. 2014, https://arxiv.org/abs/1311.2524, appendix C), in the order of
    detectron2 (https://github.com/facebookresearch/detectron2).

    Args:
      corners: what is said; where it, or its reference, is empty, all four numbers are 0.
      reference: anchors or proposals.
      weights: w_x, w_y, w_w, w_h; 10, 10, 5, 5 of the second stage of Faster R-CNN.
    """
    x, y, width, height = _sides(to_centres(corners))
    x_r, y_r, width_r, height_r = _sides(to_centres(reference))
    real = (width > 0) & (height > 0) & (width_r > 0) & (height_r > 0)
    # What is empty is replaced first: the gradient of a logarithm of 0 is 0·∞.
    width, height, width_r, height_r = (
        jnp.where(real, side, 1.0) for side in (width, height, width_r, height_r)
    )
    moved = [(x - x_r) / width_r, (y - y_r) / height_r]
    deltas = [*moved, jnp.log(width / width_r), jnp.log(height / height_r)]
    return jnp.stack(
        [jnp.where(real, w * d, 0.0) for w, d in zip(weights, deltas, strict=True)], -1
    )


def decode(
    deltas: Float[Array, "*positions 4"],
    reference: Float[Array, "*positions 4"],
    *,
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
    largest: Largest = LARGEST,
) -> Float32[Array, "*positions 4"]:
    """The boxes that `encode` has said; (..., 4), (..., 4) -> (..., 4) corners.

    Args:
      deltas: dx, dy, dw, dh.
      largest: of dw/w_w and dh/w_h: no box is more than exp of it as large as its reference.
    """
    dx, dy, dw, dh = (d / w for d, w in zip(_sides(deltas), weights, strict=True))
    x, y, width, height = _sides(to_centres(reference))
    sizes = [
        side * jnp.exp(jnp.minimum(d, largest))
        for side, d in zip((width, height), (dw, dh), strict=True)
    ]
    return from_centres(jnp.stack([x + dx * width, y + dy * height, *sizes], -1))


def _sides(corners: Float[Array, "*positions 4"]) -> tuple[Float32[Array, "*positions"], ...]:
    """The four numbers of each box."""
    x = jnp.asarray(corners, jnp.float32)
    return tuple(x[..., i] for i in range(4))


def _every(
    a: Float[Array, "*positions boxes 4"], b: Float[Array, "*positions objects 4"]
) -> tuple[
    Float32[Array, "*positions boxes objects 4"], Float32[Array, "*positions boxes objects 4"]
]:
    """Each of `a` beside each of `b`."""
    a, b = (jnp.asarray(x, jnp.float32) for x in (a, b))
    shape = (*a.shape[:-1], b.shape[-2], 4)
    return jnp.broadcast_to(a[..., :, None, :], shape), jnp.broadcast_to(b[..., None, :, :], shape)


def _overlap(
    a: Float[Array, "*positions 4"], b: Float[Array, "*positions 4"]
) -> tuple[Float32[Array, "*positions"], Float32[Array, "*positions"]]:
    """IoU, and the area of the union."""
    top, left, bottom, right = _sides(a)
    top_b, left_b, bottom_b, right_b = _sides(b)
    height = jnp.minimum(bottom, bottom_b) - jnp.maximum(top, top_b)
    width = jnp.minimum(right, right_b) - jnp.maximum(left, left_b)
    common = jnp.maximum(height, 0.0) * jnp.maximum(width, 0.0)
    union = area(a) + area(b) - common
    return _quotient(common, union), union


def _hull(
    a: Float[Array, "*positions 4"], b: Float[Array, "*positions 4"]
) -> Float32[Array, "*positions"]:
    """The area of the smallest box around both."""
    top, left, bottom, right = _sides(a)
    top_b, left_b, bottom_b, right_b = _sides(b)
    height = jnp.maximum(bottom, bottom_b) - jnp.minimum(top, top_b)
    width = jnp.maximum(right, right_b) - jnp.minimum(left, left_b)
    return jnp.maximum(height, 0.0) * jnp.maximum(width, 0.0)


def _quotient(
    part: Float32[Array, "*positions"], whole: Float32[Array, "*positions"]
) -> Float32[Array, "*positions"]:
    """part/whole, 0 of nothing."""
    real = whole > LEAST_AREA
    return jnp.where(real, part, 0.0) / jnp.where(real, whole, 1.0)
