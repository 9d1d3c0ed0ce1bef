"""How the groups of terms are weighed against each other."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from m3i_jax.types import Array


class Weighting(NamedTuple):
    """Weights of the groups, from the gradients that they send back to the input features.

    init: () -> state.
    weigh: (state, {group: ‖∂L_group/∂z‖}) -> ({group: weight}, state).
    measures: whether it needs the norms; if not, `weigh` is given an empty dict.
    groups: the groups it speaks of; () for any.
    """

    init: Callable[[], Any]
    weigh: Callable[[Any, dict[str, Array]], tuple[dict[str, Array], Any]]
    measures: bool
    groups: tuple[str, ...] = ()


def constant() -> Weighting:
    """L = Σ L_group: the static weights of the terms are all there is."""
    return Weighting(dict, lambda state, norms: ({}, state), measures=False)


def gradient_norm(
    *,
    gamma: float = 1.0,
    decay: float = 0.99,
    reference: str = "ssp",
    balanced: str = "sp",
) -> Weighting:
    """L = L_ssp + λ L_sp with λ = γ ḡ_ssp / ḡ_sp (M3I Eq. 13; METHODS §4.6).

    ḡ is the bias-corrected moving average (coefficient `decay`) of the gradient norm that a
    group sends back to the input features. A step whose norm is zero or not finite leaves its
    average alone, so λ survives batches without labels; λ is clipped to [1e-3, 1e3] and is 1
    until both groups have been seen.
    """
    groups = (reference, balanced)

    def init():
        zeros = {group: jnp.zeros((), jnp.float32) for group in groups}
        return {"mean": dict(zeros), "weight": dict(zeros)}

    def weigh(state, norms):
        mean, weight = dict(state["mean"]), dict(state["weight"])
        for group in groups:
            seen = jnp.isfinite(norms[group]) & (norms[group] > 0)
            norm = jnp.where(seen, norms[group], 0.0)
            keep = jnp.where(seen, decay, 1.0)
            mean[group] = keep * mean[group] + (1.0 - keep) * norm
            weight[group] = keep * weight[group] + (1.0 - keep)
        # weight is 1 − decay^n, so mean / weight is the bias-corrected average.
        average = {g: mean[g] / jnp.maximum(weight[g], 1e-12) for g in groups}
        ratio = gamma * average[reference] / (average[balanced] + 1e-12)
        both = (weight[reference] > 0) & (weight[balanced] > 0)
        balance = jnp.where(both, jnp.clip(ratio, 1e-3, 1e3), 1.0)
        weights = {reference: jnp.ones(()), balanced: jax.lax.stop_gradient(balance)}
        return weights, {"mean": mean, "weight": weight}

    return Weighting(init, weigh, measures=True, groups=groups)
