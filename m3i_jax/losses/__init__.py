"""Losses: −log P̂ of the distributions that methods assume, and regularisers.

Prediction losses return one value per leading position, unreduced, over the last axis; everything
is float32 and contains no collectives, so under `jit` over sharded arrays the batch is global.
"""

from m3i_jax.losses.prediction import bernoulli, boltzmann, gaussian, huber, info_nce, laplace
from m3i_jax.losses.regularizers import alignment, cross_correlation, unigrad

__all__ = [
    "alignment",
    "bernoulli",
    "boltzmann",
    "cross_correlation",
    "gaussian",
    "huber",
    "info_nce",
    "laplace",
    "unigrad",
]
