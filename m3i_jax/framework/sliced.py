"""Regularisers that match codes to a standard Gaussian along directions drawn anew in every step.

They see the codes of the input, which here are those of every view; all terms of a step that have
one are seen along the same directions.
"""

from m3i_jax import losses
from m3i_jax.framework.distributions import Regularizer


def sigreg(weight: float, *, slices: int = 1024) -> Regularizer:
    """weight · the Epps–Pulley statistic of codes along `slices` directions: LeJEPA's.

    Balestriero & LeCun 2025, https://arxiv.org/abs/2511.08544; docs/methods.md#lejepa.
    """

    def score(prediction, target, key):
        along = losses.directions(key, prediction.shape[-1], slices)
        return weight * losses.epps_pulley(prediction, along)

    return Regularizer("sliced match", score, random=True)


def visreg(weight: float, *, slices: int = 2048) -> Regularizer:
    """weight · (centre + scale + sliced 2-Wasserstein distance of the shape): VISReg's.

    Wu et al. 2026, Eq. 1 to 6, https://arxiv.org/abs/2606.02572; docs/methods.md#visreg.
    """

    def score(prediction, target, key):
        along = losses.directions(key, prediction.shape[-1], slices)
        shape = losses.sliced_wasserstein(prediction, along)
        return weight * (losses.location_scale(prediction) + shape)

    return Regularizer("variance, sliced match", score, random=True)
