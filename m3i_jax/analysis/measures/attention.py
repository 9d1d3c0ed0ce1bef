"""How far, how broadly and how differently the heads of every block attend.

Xie et al. 2023, Figures 1 to 6, https://arxiv.org/abs/2205.13543; docs/analysis.md#attention. Asked
for together, the three share one softmax of each block, as the compiler computes equal things once.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from m3i_jax import analysis
from m3i_jax.analysis.measure import Look, Measure, Rows, Shown
from m3i_jax.analysis.placement import Placement, names, placement
from m3i_jax.evaluation import intervals
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.types import Array, Scores

Observe = Callable[[Scores, Placement], Array]


def attention_distance(*, renormalize: bool = True) -> Measure:
    """How far from a cell lies what each head attends to, in pixels.

    Args:
      renormalize: rows without class token and registers are scaled to sum to 1.
    """

    def observe(scores: Scores, at: Placement) -> Array:
        tokens = _among(at, renormalize)
        return analysis.attention_distance(scores, at.grid, at.patch, **tokens)

    return _heads("attention_distance", "attention distance", "pixels", renormalize, observe)


def attention_entropy(*, renormalize: bool = True) -> Measure:
    """How broadly each head attends, in nats.

    Args:
      renormalize: rows without class token and registers are scaled to sum to 1.
    """

    def observe(scores: Scores, at: Placement) -> Array:
        tokens = _among(at, renormalize)
        return analysis.attention_entropy(scores, **tokens)

    return _heads("attention_entropy", "attention entropy", "nats", renormalize, observe)


def head_divergence(*, renormalize: bool = True) -> Measure:
    """How differently two heads attend, in nats, for all ordered pairs: 1 and 2, 1 and 3, ...

    Args:
      renormalize: rows without class token and registers are scaled to sum to 1.
    """

    def observe(scores: Scores, at: Placement) -> Array:
        tokens = _among(at, renormalize)
        return analysis.head_divergence(scores, **tokens)

    return _heads("head_divergence", "divergence between heads", "nats", renormalize, observe)


def _among(at: Placement, renormalize: bool) -> dict[str, Any]:
    """Which tokens are no cells, and what becomes of the rows without them."""
    return dict(class_token=at.class_token, registers=at.registers, renormalize=renormalize)


def _heads(name: str, title: str, unit: str, renormalize: bool, observe: Observe) -> Measure:
    """The measure whose rows are what `observe` makes of each block, (B, heads) or (B, h, h)."""

    def look(evaluation: Evaluation) -> Look:
        place = placement(evaluation.model, evaluation.image)
        return Look(attention=lambda scores: observe(scores, place(scores)))

    def measure(evaluation: Evaluation, rows: Rows) -> Shown:
        values = [_pairs(block) if block.ndim == 3 else block for block in rows.attention]
        called = zip(names(evaluation.model), values, strict=True)
        # A block of one head has no pair.
        shown = {name: block for name, block in called if block.shape[1]}
        if not shown:
            raise NotMeasurable(f"every block of {evaluation.model.name} has one head")
        return summary(shown)

    return Measure(name, title, unit, {"renormalize": renormalize}, measure, look)


def _pairs(block: Float[Array, "images heads heads"]) -> Float[Array, "images pairs"]:
    """The ordered pairs of different heads, row by row."""
    heads = block.shape[1]
    return block[:, ~np.eye(heads, dtype=bool)]


def summary(blocks: Mapping[str, Float[Array, "images heads"]]) -> Shown:
    """Means over images of each head, with their intervals of 95 %, and means over heads."""
    ends = [np.array([intervals.of_mean(head) for head in x.T]) for x in blocks.values()]
    heads = [x.mean(0, dtype=np.float64) for x in blocks.values()]
    images = len(next(iter(blocks.values())))
    values = {
        "heads": heads,
        "low": [end[:, 0] for end in ends],
        "high": [end[:, 1] for end in ends],
        "mean": [float(block.mean()) for block in heads],
    }
    return Shown("heads", values, {"blocks": [*blocks]}, counts={"test": images})
