"""How the groups of terms are weighed against each other."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float32

from m3i_jax.ranges import Memory, PositiveWeight, Weight
from m3i_jax.types import Array, Scalar


class Weighting(NamedTuple):
    """Weights of the groups; a group that it does not name has weight 1.

    init: () -> state.
    weigh: (state, {group: ‖∂L_group/∂z‖}, progress) -> ({group: weight}, state).
    measures: whether it needs the norms; if not, `weigh` is given an empty dict.
    groups: the groups it names.
    """

    init: Callable[[], Any]
    weigh: Callable[[Any, dict[str, Float32[Array, ""]], Scalar], tuple[dict[str, Scalar], Any]]
    measures: bool
    groups: tuple[str, ...] = ()


def constant(*, groups: dict[str, Weight] | None = None) -> Weighting:
    """L = Σ w_group L_group; without `groups` the static weights of the terms are all there is.

    groups: {group: w}, 1 where left out.
    """
    weights = dict(groups or {})
    return Weighting(dict, lambda state, norms, p: (weights, state), False, tuple(weights))


def scheduled(*, groups: dict[str, tuple[Weight, Weight]]) -> Weighting:
    """L = Σ w_group(p) L_group, w a cosine from the first to the second of its two numbers.

    groups: {group: (weight at the start, weight at the end)}; p is the progress of the training.
    """

    def weigh(state, norms, progress):
        share = 0.5 * (1.0 - jnp.cos(jnp.pi * progress))
        weights = {g: start + (end - start) * share for g, (start, end) in groups.items()}
        return weights, state

    return Weighting(dict, weigh, False, tuple(groups))


def gradient_norm(
    *,
    gamma: PositiveWeight = 1.0,
    decay: Memory = 0.99,
    reference: str = "ssp",
    balanced: str | tuple[str, ...] = "sp",
) -> Weighting:
    """L = L_ssp + λ L_sp with λ = γ ḡ_ssp / ḡ_sp.

    M3I (Su et al. 2023, appendix B.1, Eq. 13, https://arxiv.org/abs/2211.09807); what the paper
    leaves open is in docs/methods.md#balance-of-losses.

    Several groups may be balanced against the reference, each with a λ of its own.

    ḡ is the bias-corrected moving average (coefficient `decay`) of the gradient norm that a
    group sends back to the input features. A step whose norm is zero or not finite leaves its
    average alone, so λ survives batches without labels; λ is clipped to [1e-3, 1e3] and is 1
    until both groups have been seen.

    gamma: γ.  decay: what an average of norms keeps of itself in a step.
    reference: the group whose weight is 1.  balanced: the groups that follow it, one or several.
    """
    others = (balanced,) if isinstance(balanced, str) else tuple(balanced)
    groups = (reference, *others)
    if not others or len(set(groups)) < len(groups):
        raise ValueError(f"'{reference}' is balanced by other groups, not by {balanced!r}")

    def init():
        zeros = {group: jnp.zeros((), jnp.float32) for group in groups}
        return {"mean": dict(zeros), "weight": dict(zeros)}

    def weigh(state, norms, progress):
        mean, weight = dict(state["mean"]), dict(state["weight"])
        for group in groups:
            # A batch without captions sends no gradient from their group. Counted as 0 it would
            # pull the average down, and λ up, for a hundred steps.
            seen = jnp.isfinite(norms[group]) & (norms[group] > 0)
            norm = jnp.where(seen, norms[group], 0.0)
            keep = jnp.where(seen, decay, 1.0)
            mean[group] = keep * mean[group] + (1.0 - keep) * norm
            weight[group] = keep * weight[group] + (1.0 - keep)
        # weight is 1 − decay^n, so mean / weight is the bias-corrected average.
        average = {g: mean[g] / jnp.maximum(weight[g], 1e-12) for g in groups}
        weights = {reference: jnp.ones(())}
        for group in others:
            # 1e-12 is for the first steps only, whose ratio is thrown away below.
            ratio = gamma * average[reference] / (average[group] + 1e-12)
            # Two groups have to be known before there is anything to balance.
            both = (weight[reference] > 0) & (weight[group] > 0)
            balance = jnp.where(both, jnp.clip(ratio, 1e-3, 1e3), 1.0)
            # λ is a number to the loss: Eq. 13 does not differentiate it.
            weights[group] = jax.lax.stop_gradient(balance)
        return weights, {"mean": mean, "weight": weight}

    return Weighting(init, weigh, measures=True, groups=groups)
