"""The framework: codes, terms, and how their losses are weighed. No Flax, no optax."""

import warnings
from typing import Any

from m3i_jax.framework.annotations import PIXELWISE, categories, depths, key_points, objects
from m3i_jax.framework.answers import answered, compared, matched
from m3i_jax.framework.assignments import Assignment, balancing, centring, sharpening
from m3i_jax.framework.captions import caption
from m3i_jax.framework.codes import (
    Encoder,
    EncoderInput,
    Slot,
    ema,
    frozen,
    mapped,
    mapped_each,
    momentum_at,
    online,
    renamed,
    snapshot,
    stopped,
    then,
)
from m3i_jax.framework.corruption import (
    TOKENIZERS,
    Tokenizer,
    corrupted,
    dalle_tokens,
    erased,
    replaced,
)
from m3i_jax.framework.descriptors import hog, pixels
from m3i_jax.framework.distributions import (
    Distribution,
    Regularizer,
    Target,
    bernoulli,
    binary,
    boltzmann,
    categorical,
    contrast,
    cosine,
    cross_entropy,
    dense_contrast,
    gaussian,
    gram,
    huber,
    info_nce,
    invariance,
    laplace,
    nothing,
    nt_xent,
    pairwise_sigmoid,
    product,
    sought,
    tokenwise,
)
from m3i_jax.framework.engine import encode, gradients, init, prepare, update
from m3i_jax.framework.information import Evidence
from m3i_jax.framework.masking import Masking, rest
from m3i_jax.framework.method import Code, Method, RegionCode, Term
from m3i_jax.framework.pixelwise import heat_maps, pixel_categories, pixel_depth
from m3i_jax.framework.regularizers import alignment, koleo, mean_entropy, redundancy, spread
from m3i_jax.framework.scoring import by_sample, predict, score
from m3i_jax.framework.sliced import sigreg, visreg
from m3i_jax.framework.targets import (
    assigned,
    attentive,
    averaged,
    before,
    centroid,
    last_layers,
    layered,
    neighbours,
    pooled_only,
    quantized,
    queue,
    shared_heads,
    standardize,
    visual_tokens,
)
from m3i_jax.framework.views import DerivedInputs, DerivedView, blended, mixed
from m3i_jax.framework.weighting import Weighting, constant, gradient_norm, scheduled

_FORMER = {
    "Look": "EncoderInput",
    "Part": "RegionCode",
    "Derived": "DerivedView",
    "Made": "DerivedInputs",
    "words": "visual_tokens",
    "dalle_words": "dalle_tokens",
}


def __getattr__(name: str) -> Any:
    """What had another name before, with a warning that says today's."""
    if name not in _FORMER:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    warnings.warn(f"framework.{name} is called framework.{_FORMER[name]}", DeprecationWarning, 2)
    return globals()[_FORMER[name]]
