"""Objects in images as numbers: boxes, what overlaps what, who is matched with whom.

Boxes are corners, (..., 4) top, left, bottom, right, as of `types.Objects`: row and column of the
upper left corner of the first pixel are 0, and a box of one pixel has a height and a width of 1.
All is pure, of static shapes, padded where there are fewer, and can be jitted.

On several devices each had best do its own rows of a batch (`parallel.by_rows`): the compiler
gathers what `sample` and `top_kept` look for the largest of, and the steps of `assign` and
`non_maximum_suppression`, whose number depends on the data, are waited for by all.
"""

from m3i_jax.detection.anchors import anchor_boxes
from m3i_jax.detection.assignment import Assigned, assign
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
from m3i_jax.detection.federated import compared
from m3i_jax.detection.matching import Matches, Sampled, match, sample
from m3i_jax.detection.nms import non_maximum_suppression, top_kept
from m3i_jax.detection.pasting import cut, pasted, reframed
from m3i_jax.detection.roi_align import level_of, roi_aligned, roi_aligned_by_level

__all__ = [
    "Assigned",
    "Matches",
    "Sampled",
    "anchor_boxes",
    "area",
    "assign",
    "clip",
    "compared",
    "cut",
    "decode",
    "encode",
    "from_centres",
    "giou",
    "iou",
    "level_of",
    "match",
    "non_maximum_suppression",
    "pairwise_giou",
    "pairwise_iou",
    "pasted",
    "reframed",
    "roi_aligned",
    "roi_aligned_by_level",
    "sample",
    "to_centres",
    "top_kept",
]
