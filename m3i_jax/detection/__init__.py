"""Objects in images as numbers: boxes, what overlaps what, who is matched with whom.

Boxes are corners, (..., 4) top, left, bottom, right, as of `types.Objects`: row and column of the
upper left corner of the first pixel are 0, and a box of one pixel has a height and a width of 1.
All is pure, of static shapes, padded where there are fewer, and can be jitted.
"""

from m3i_jax.detection.anchors import anchor_boxes
from m3i_jax.detection.boxes import (
    area,
    clip,
    decode,
    encode,
    from_centres,
    giou,
    iou,
    pairwise_giou,
    pairwise_iou,
    to_centres,
)

__all__ = [
    "anchor_boxes",
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
