"""The moving average and the length of a run: a momentum that fits it, and how far it has come."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from m3i_jax import build, framework
from m3i_jax.framework import Encoder, Method
from m3i_jax.training.config import Config
from m3i_jax.training.lengths import known
from m3i_jax.types import Scalar

LONG = 0.995  # momentum at the start of a run that is long enough for it
TURNS = 20.0  # Σ(1 − μ₀) over a shorter one
ENOUGH = 0.9  # share that a branch has to have moved for nothing to be said


def fitted(steps: int | Scalar) -> float | Scalar:
    """μ₀ = min(0.995, 1 − 20/T), not below 0, for a run of T steps.

    On its cosine to 1 the sum of 1 − μ is half of 20, so that e^−10 is left of what the average
    began with, however short the run.
    """
    momentum = 1.0 - TURNS / steps
    return max(0.0, min(LONG, momentum)) if known(steps) else jnp.clip(momentum, 0.0, LONG)


def with_momentum(block: Mapping[str, Any], steps: int | Scalar | None) -> dict[str, Any]:
    """Arguments of `framework.ema`, with a momentum that fits where they name none."""
    momentum, end = LONG if steps is None else fitted(steps), block.get("end", 1.0)
    if isinstance(end, int | float):
        momentum = min(momentum, end) if known(momentum) else jnp.minimum(momentum, end)
    return {"momentum": momentum, **block}


def fitted_to(method: Method, config: Config, steps: int | Scalar) -> Method:
    """A method whose moving averages fit a run of so many steps, where no momentum is named."""
    target = config.target or config.objective.get("target") or {}
    if target.get("name") == "ema":
        own = {key: value for key, value in target.items() if key != "name"}
        method = method.with_slot(framework.ema(**with_momentum(own, steps)).slots[0])
    return replace(method, average=average(config, steps=steps))


def average(config: Config, *, steps: int | Scalar | None = None) -> Encoder:
    """The moving average for evaluation that a config describes."""
    own = {key: value for key, value in config.average.items() if key != "head"}
    return build.made(framework.ema, with_momentum(own, steps), what="config.average")


def moved(method: Method, *, step: int, total: int) -> float:
    """1 − Π μ(s/T), s = 1 … step: the weight in the average of all that came after its start."""
    progress = np.arange(1, step + 1, dtype=np.float32) / total
    momentum = method.slots["ema"].metrics(progress)["ema/momentum"]
    return 1.0 - float(np.prod(np.broadcast_to(np.asarray(momentum, np.float64), step)))


def hardly_moved(method: Method, *, step: int, total: int) -> str:
    """A sentence about an average that is still near where it started, with its share; or ""."""
    share = moved(method, step=step, total=max(total, step, 1))
    if share >= ENOUGH:
        return ""
    return (
        f"the moving average of step {step} has moved only {100 * share:.0f} % of the way from its "
        "first weights to those of the network; take branch online, or train with a lower momentum"
    )
