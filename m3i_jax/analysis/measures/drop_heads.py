"""How much each head matters: what changes when it is taken out."""

from typing import Annotated

import numpy as np

from m3i_jax.analysis import sensitivity
from m3i_jax.analysis.measure import Measure, Rows, Shown
from m3i_jax.evaluation import models, removal
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.texts import OneOf

BY = {
    "cosine": ("Features without a head", "1 − cosine"),
    "cka": ("Images without a head", "1 − CKA"),
    "knn": ("kNN without a head", "share"),
}


def drop_heads(*, by: Annotated[str, OneOf(*BY)] = "cosine") -> Measure:
    """Change of the pooled features when one head adds nothing, for each head of each block.

    As of Michel et al. 2019, Are Sixteen Heads Really Better than One?,
    https://arxiv.org/abs/1905.10650, §3.2, by features in place of a loss.

    Args:
      by: "cosine", 1 − cos to the intact features; "cka", 1 − debiased CKA to them; or "knn", the
        accuracy that is left, where there are labels.
    """

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        if evaluation.model.network is None:
            raise NotMeasurable("raw pixels have no heads")
        module = models.module(evaluation.model)
        counts = removal.heads(module)
        if not counts:
            raise NotMeasurable(f"a {type(module).__name__} has no heads to take out")
        pairs = [(b, h) for b, count in enumerate(counts, 1) for h in range(1, count + 1)]
        removed = lambda params, block, head: removal.head_removed(params, module, block, head)  # noqa: E731
        seen = sensitivity.variants(evaluation, removed, *np.array(pairs).T, name="head")
        numbers, protocol = measured(seen, by)
        heads = np.split(numbers, np.cumsum(counts)[:-1])
        values = {"heads": heads, "mean": [of.mean() for of in heads]}
        labels = {"blocks": [str(block) for block in range(1, len(counts) + 1)]}
        return Shown("heads", values, labels, protocol, {"test": len(seen.labels)})

    title, unit = BY[by]
    return Measure("drop_heads", title, unit, {"by": by}, measure)


def measured(seen: sensitivity.Variants, by: str) -> tuple[np.ndarray, dict[str, float]]:
    """A number for each head, and what it is compared with."""
    if by != "knn":
        return {"cosine": sensitivity.cosine, "cka": sensitivity.cka}[by](seen), {}
    intact, *without = sensitivity.accuracy(seen)
    return np.array(without), {"intact": float(intact), "k": sensitivity.K}
