"""Tokens of a block: which of them are patches, one vector for all of them, and how long they are.

Outliers, tokens of a much larger norm than the others that stand for no patch of theirs, are
Darcet et al. 2024, §2, https://arxiv.org/abs/2309.16588.
"""

import math
from collections.abc import Callable
from typing import Annotated

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from m3i_jax import normalize
from m3i_jax.evaluation import models
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Grid

POOLS = ("mean", "cls")
Pool = Annotated[str, OneOf(*POOLS)]
NORMAL = 1.4826  # standard deviations of a normal distribution in its median absolute deviation


def pooler(
    evaluation: Evaluation, *, pool: str | None = None
) -> Callable[[Float[Array, "batch tokens dim"]], Float[Array, "batch dim"]]:
    """Tokens behind a block -> a vector for each image: (B, n, D) -> (B, D) float32.

    pool: the "mean" of the patches, the class token "cls"; None = as features of the evaluation are
      pooled, "both" counting as "cls".

    Raises:
      NotMeasurable: the class token of an encoder that has none.
    """
    pool, first = pool or evaluation.pool, models.tokens_in_front(evaluation.model)
    if pool == "mean":
        return lambda x: x[:, first:].astype(jnp.float32).mean(1)
    if not models.has_class_token(evaluation.model):
        raise NotMeasurable(f"'{evaluation.model.name}' has no class token; pool by mean instead")
    return lambda x: x[:, 0].astype(jnp.float32)


def norms(tokens: Float[Array, "*positions dim"]) -> Float[Array, "*positions"]:
    """‖x‖₂ of each token: (..., D) -> (...) float32, where squares would be too large, too."""
    tokens = jnp.asarray(tokens, jnp.float32)
    power = normalize.magnitude(tokens)
    return power[..., 0] * jnp.sqrt(jnp.square(tokens / power).sum(-1))


def cutoff(norms: Float[np.ndarray, "*positions"], *, deviations: float) -> float:
    """median + deviations · 1.4826 · median |norm − median|: above it a norm is an outlier's.

    Half of all tokens decide it, so that outliers do not move it. Where more than half have one
    norm it is that norm.
    """
    norms = np.asarray(norms, np.float64)
    median = np.median(norms)
    return float(median + deviations * NORMAL * np.median(np.abs(norms - median)))


def where(
    outliers: Bool[np.ndarray, "images tokens"],
) -> Float[np.ndarray, "rows columns"] | None:
    """How often each cell of a square grid has an outlier: (N, h·w) -> (h, w) shares.

    None where the tokens are no square.
    """
    shares = np.asarray(outliers, np.float64).mean(0)
    grid = square(shares.size)
    return None if grid is None else shares.reshape(grid)


def square(tokens: int) -> Grid | None:
    """The grid of the patches of a square image; None where their number is no square."""
    side = math.isqrt(tokens)
    return (side, side) if side * side == tokens else None
