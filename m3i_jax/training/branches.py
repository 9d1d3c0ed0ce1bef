"""Which branch of a checkpoint to take: a moving average that has hardly moved is said."""

import logging
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.training import average, schema
from m3i_jax.training.assemble import length, objective
from m3i_jax.training.config import Config

LOG = logging.getLogger(__name__)


def described(branch: str, config: Config) -> str:
    """Which parameters of a run a branch is, and how to take the others; "" of what is none."""
    own = schema.Validation(**config.validation).branch if config.validation else branch
    validated = f"; the run was validated by {own}" if own != branch else ""
    kinds = {
        "ema": "the average of the parameters (EMA); those of the last step by #online behind it, "
        "or --branch=online",
        "online": "the parameters of the last step; their average (EMA) by #ema behind it, or "
        "--branch=ema",
    }
    return kinds[branch] + validated if branch in kinds else ""


def advise(meta: dict[str, Any], *, branch: str, step: int) -> str:
    """Says in the log that the moving average of a checkpoint has hardly moved, where it has.

    Returns the sentence; "" where there is nothing to say.
    """
    data = meta.get("fingerprint") or {}
    images = data.get("epoch", data.get("length"))
    if branch != "ema" or not images:
        return ""
    try:
        config = Config.of(meta["config"])
        total = length(config, images=images)
        method = average.fitted_to(objective(config), config, max(total, 1))
    except (ConfigError, KeyError):  # weights of a run that only another version could train
        return ""
    if said := average.hardly_moved(method, step=step, total=total):
        LOG.warning("%s", said)
    return said
