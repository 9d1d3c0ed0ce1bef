"""How much each block matters: what changes when it is taken out."""

import numpy as np

from m3i_jax.analysis import sensitivity
from m3i_jax.analysis.measure import Measure, Rows, Shown
from m3i_jax.evaluation import models, removal
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable


def drop_blocks() -> Measure:
    """Change of the pooled features when a block adds nothing to the residual stream.

    As of Veit et al. 2016, Residual Networks Behave Like Ensembles,
    https://arxiv.org/abs/1605.06431, §4.1. 1 − cosine and 1 − debiased CKA to the intact
    features, and kNN's accuracy where there are labels.
    """

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        if evaluation.model.network is None:
            raise NotMeasurable("raw pixels have no blocks")
        module = models.module(evaluation.model)
        numbers = np.arange(1, removal.blocks(module) + 1)
        removed = lambda params, block: removal.block_removed(params, module, block)  # noqa: E731
        seen = sensitivity.variants(evaluation, removed, numbers, name="block")
        values = {"1 − cosine": sensitivity.cosine(seen), "1 − CKA": sensitivity.cka(seen)}
        protocol = {}
        if (seen.labels >= 0).any():
            intact, *without = sensitivity.accuracy(seen)
            values["kNN"] = np.array(without)
            protocol = {"intact": float(intact), "k": sensitivity.K}
        labels = {"blocks": [str(number) for number in numbers]}
        return Shown("layers", values, labels, protocol, {"test": len(seen.labels)})

    return Measure("drop_blocks", "Without a block", "", {}, measure)
