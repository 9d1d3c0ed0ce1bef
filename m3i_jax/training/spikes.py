"""Which steps count: not those whose loss or gradient is not finite, nor those that spike.

A step spikes where, over the last w steps that counted,

    |L_t| > f · median |L|     or     ‖g_t‖ > f · median ‖g‖

The median, since a mean would follow the spikes; of absolute values, since losses with an entropy
in them cross 0, and f times a median below it would refuse every step. PaLM left out the batches
around a spike by hand (Chowdhery et al. 2022, §5.1, https://arxiv.org/abs/2204.02311).
"""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32, Int32

from m3i_jax.ranges import Range
from m3i_jax.types import Array

LOSS, NORM, SKIPPED = "train/loss", "optim/grad_norm", "optim/skipped"  # as a step's metrics say it
MEDIANS = {LOSS: "optim/loss_median", NORM: "optim/grad_norm_median"}
NAMES = {LOSS: "loss", NORM: "gradient norm"}
Factor = Annotated[float, Range(1.5, 1e6, why="steps of one run differ by half")]
Window = Annotated[int, Range(2, 10_000, why="every step takes a median of so many")]


class Spikes(NamedTuple):
    """Which steps leave the state as it is, besides those that are not finite.

    factor: of the running median, beyond which a loss or a gradient norm is a spike; None = no step
      is left out for its size.
    window: steps that count whose median it is; before there are so many nothing is a spike.
    """

    factor: Factor | None = None
    window: Window = 100


def empty(policy: Spikes) -> Float32[Array, "2 _window"] | None:
    """|loss| and gradient norm of no step yet, -1 in all places; None where nobody asks."""
    return None if policy.factor is None else jnp.full((2, policy.window), -1, jnp.float32)


def sound(
    policy: Spikes,
    recent: Float32[Array, "2 _window"] | None,
    loss: Float32[Array, ""],
    norm: Float32[Array, ""],
) -> tuple[Bool[Array, ""], dict[str, Float32[Array, ""]]]:
    """(whether a step counts, the medians that it was held against as metrics).

    recent: see `noted`.
    """
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    if recent is None:
        return finite, {}
    # NaN until the window is full, beyond which nothing is: a comparison with it is false.
    medians = jnp.where((recent >= 0).all(), jnp.median(recent, axis=1), jnp.nan)
    spike = (jnp.stack([jnp.abs(loss), norm]) > policy.factor * medians).any()
    return finite & ~spike, dict(zip(MEDIANS.values(), medians, strict=True))


def noted(
    recent: Float32[Array, "2 _window"] | None,
    counted: Int32[Array, ""],
    loss: Float32[Array, ""],
    norm: Float32[Array, ""],
) -> Float32[Array, "2 _window"] | None:
    """`recent` with a step that counts in the place of the oldest: (2, w), a ring.

    counted: steps that did before it.
    """
    if recent is None:
        return None
    return recent.at[:, counted % recent.shape[1]].set(jnp.stack([jnp.abs(loss), norm]))


def why(policy: Spikes, metrics: Mapping[str, float]) -> str:
    """Why a step with these metrics was left out, as the end of a sentence."""
    for name, called in NAMES.items():
        if not np.isfinite(metrics[name]):
            return f"its {called} is {metrics[name]:g}"
    for name, called in NAMES.items():
        median = metrics.get(MEDIANS[name], np.nan)
        if policy.factor is not None and abs(metrics[name]) > policy.factor * median:
            return (
                f"its {called} is {metrics[name]:.3g}, more than {policy.factor:g} times "
                f"{median:.3g}, the median of {policy.window} steps"
            )
    return "its loss or its gradient norm is on the edge of the policy"
