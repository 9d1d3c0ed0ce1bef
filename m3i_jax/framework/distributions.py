"""P̂(z_y | ẑ_y): how a predicted code is compared with its target, as the table names it.

A distribution scores (prediction, target) as −log P̂ up to a constant, one value per position.
A regulariser scores how much information the target codes keep, one scalar per term.
"""

from collections.abc import Callable
from typing import NamedTuple

from m3i_jax import losses, metrics
from m3i_jax.types import Array, Box


class Target(NamedTuple):
    """The code to predict, aligned so that row i belongs to row i of the prediction.

    tokens: (B, L, D).  pooled: (B, D).  candidates: (M, D), choice: (B,) int32: `pooled` is row
    `choice` of `candidates`.  valid: (M,) bool, candidates that exist.  box: of the target view.
    """

    tokens: Array | None = None
    pooled: Array | None = None
    candidates: Array | None = None
    choice: Array | None = None
    valid: Array | None = None
    box: Box | None = None


class Distribution(NamedTuple):
    """−log P̂ of a prediction.

    name: as in Table 5.  score: (prediction, Target) -> (B,) or (B, L) float32.
    batchwise: whether a row's value depends on other rows of the batch.
    dense: whether it compares tokens, or one pooled code per row.
    bound: (prediction, Target) -> (B,), a lower bound of the mutual information in nats.
    """

    name: str
    score: Callable[[Array, Target], Array]
    batchwise: bool = False
    dense: bool = True
    bound: Callable[[Array, Target], Array] | None = None


class Regularizer(NamedTuple):
    """−H(z_y): (prediction, Target) -> scalar, to be minimised."""

    name: str
    score: Callable[[Array, Target], Array]
    batchwise: bool = True


def gaussian(*, sigma2: float | None = None) -> Distribution:
    """Gaussian over tokens, Σ_d e²/(2σ²); mean squared error by default (METHODS §1.2)."""

    def score(prediction, target):
        return losses.gaussian(prediction, target.tokens, sigma2=sigma2)

    return Distribution("Gaussian", score)


def _information(score: Callable[[Array, Target], Array]) -> Callable[[Array, Target], Array]:
    """log M − loss per row: what InfoNCE guarantees with M equally likely candidates."""

    def bound(prediction, target):
        candidates = target.candidates.shape[0] if target.valid is None else target.valid.sum()
        return metrics.information_bound(score(prediction, target), candidates)

    return bound


def boltzmann(*, temperature: float = 1.0, label_smoothing: float = 0.0) -> Distribution:
    """Boltzmann over the target's candidates: softmax cross-entropy (METHODS §1.2, §1.3).

    The bound is taken without the smoothing; it assumes that all candidates are equally likely.
    """

    def smoothed(smoothing):
        return lambda prediction, target: losses.boltzmann(
            prediction,
            target.candidates,
            target.choice,
            temperature=temperature,
            label_smoothing=smoothing,
            valid=target.valid,
        )

    bound = _information(smoothed(0.0))
    return Distribution("Boltzmann", smoothed(label_smoothing), dense=False, bound=bound)


def info_nce(*, temperature: float = 1.0) -> Distribution:
    """Boltzmann over the global batch in both directions, as CLIP has it (METHODS §4.5)."""

    def score(prediction, target):
        return losses.info_nce(
            prediction,
            target.candidates,
            target.choice,
            temperature=temperature,
            valid=target.valid,
        )

    bound = _information(score)
    return Distribution("Boltzmann", score, batchwise=True, dense=False, bound=bound)


def alignment(weight: float) -> Regularizer:
    """weight · mean_n ẑᵀCẑ / D: UniGrad's decorrelation of SiameseIM (METHODS §3.6)."""

    def score(prediction, target):
        return weight * losses.alignment(prediction, target.tokens)

    return Regularizer("decorrelation", score)
