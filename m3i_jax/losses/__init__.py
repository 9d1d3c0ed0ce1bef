"""Losses: −log P̂ of the distributions that methods assume, and regularisers.

Prediction losses return one value per leading position, unreduced, over the last axis; everything
is float32 and contains no collectives, so under `jit` over sharded arrays the batch is global.

Losses of directions, correlations and logits hold for numbers from 1e-30 to 1e30. Squares and inner
products of what is beyond 1e19 leave float32: such a loss is infinite, or NaN, and never another
number.

* `prediction`: one position at a time. `contrastive`: the right code among candidates.
* `assignments`: soft targets. `regularizers`: what keeps codes apart, one scalar each; `sliced`:
  those that compare with a Gaussian along directions.
* `dense`: of pixels, one value per image, or per batch. `detection`: of boxes and masks, one each.
* `mask_sets`, `detr`: of queries, matched with the objects of an image, one value per image.
* `regions`: of boxes that are proposed, one value per image.
"""

from m3i_jax.losses import (
    assignments,
    contrastive,
    dense,
    detection,
    detr,
    mask_sets,
    prediction,
    regions,
    regularizers,
    sliced,
    tracking,
)
from m3i_jax.losses.assignments import *
from m3i_jax.losses.contrastive import *
from m3i_jax.losses.dense import *
from m3i_jax.losses.detection import *
from m3i_jax.losses.detr import *
from m3i_jax.losses.mask_sets import *
from m3i_jax.losses.prediction import *
from m3i_jax.losses.regions import *
from m3i_jax.losses.regularizers import *
from m3i_jax.losses.sliced import *
from m3i_jax.losses.tracking import *

__all__ = [
    *assignments.__all__,
    *contrastive.__all__,
    *dense.__all__,
    *detection.__all__,
    *detr.__all__,
    *mask_sets.__all__,
    *prediction.__all__,
    *regions.__all__,
    *regularizers.__all__,
    *sliced.__all__,
    *tracking.__all__,
]
