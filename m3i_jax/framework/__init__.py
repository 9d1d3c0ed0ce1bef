"""The framework: codes, terms, and how their losses are weighed. No Flax, no optax."""

from m3i_jax.framework.codes import (
    Encoder,
    ema,
    momentum_at,
    online,
    pixels,
    standardize,
    stopped,
    then,
)
from m3i_jax.framework.distributions import (
    Distribution,
    Regularizer,
    Target,
    alignment,
    boltzmann,
    gaussian,
    info_nce,
)
from m3i_jax.framework.evaluate import encode, gradients, prepare, update
from m3i_jax.framework.method import Code, Masking, Method, Part, Term
from m3i_jax.framework.scoring import predict, score
from m3i_jax.framework.views import Derived, mixed
from m3i_jax.framework.weighting import Weighting, constant, gradient_norm

__all__ = [
    "Code",
    "Derived",
    "Distribution",
    "Encoder",
    "Masking",
    "Method",
    "Part",
    "Regularizer",
    "Target",
    "Term",
    "Weighting",
    "alignment",
    "boltzmann",
    "constant",
    "ema",
    "encode",
    "gaussian",
    "gradient_norm",
    "gradients",
    "info_nce",
    "mixed",
    "momentum_at",
    "online",
    "pixels",
    "predict",
    "prepare",
    "score",
    "standardize",
    "stopped",
    "then",
    "update",
]
