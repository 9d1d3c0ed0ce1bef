"""Objects in images as numbers: boxes, what overlaps what, who is matched with whom.

Boxes are corners, (..., 4) top, left, bottom, right, as of `types.Objects`: row and column of the
upper left corner of the first pixel are 0, and a box of one pixel has a height and a width of 1.
All is pure, of static shapes, padded where there are fewer, and can be jitted.

On several devices each had best do its own rows of a batch (`parallel.by_rows`): the compiler
gathers what `sample` and `top_kept` look for the largest of, and the steps of `assign` and
`non_maximum_suppression`, whose number depends on the data, are waited for by all.

* `boxes`; `anchors`, `nms`, `matching`, `roi_align`, `pasting`: what detectors of regions do.
* `assignment`, `points`, `box_sets`, `mask_sets`, `denoising`: what those of queries do.
* `tracking`: one object that is followed.
"""

from m3i_jax.detection import (
    anchors,
    assignment,
    box_sets,
    boxes,
    denoising,
    federated,
    mask_sets,
    matching,
    nms,
    pasting,
    points,
    roi_align,
    tracking,
)
from m3i_jax.detection.anchors import *
from m3i_jax.detection.assignment import *
from m3i_jax.detection.box_sets import *
from m3i_jax.detection.boxes import *
from m3i_jax.detection.denoising import *
from m3i_jax.detection.federated import *
from m3i_jax.detection.mask_sets import *
from m3i_jax.detection.matching import *
from m3i_jax.detection.nms import *
from m3i_jax.detection.pasting import *
from m3i_jax.detection.points import *
from m3i_jax.detection.roi_align import *
from m3i_jax.detection.tracking import *

__all__ = [
    *anchors.__all__,
    *assignment.__all__,
    *box_sets.__all__,
    *boxes.__all__,
    *denoising.__all__,
    *federated.__all__,
    *mask_sets.__all__,
    *matching.__all__,
    *nms.__all__,
    *pasting.__all__,
    *points.__all__,
    *roi_align.__all__,
    *tracking.__all__,
]
