"""What the tokens of each block say of the classes: nearest neighbours and a linear probe."""

from typing import Annotated

import jax
import numpy as np

from m3i_jax.analysis import rows as passes
from m3i_jax.analysis import tokens
from m3i_jax.analysis.measure import Look, Measure, Rows, Shown
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import protocol
from m3i_jax.evaluation import models
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.intervals import wilson
from m3i_jax.evaluation.probes.knn import knn
from m3i_jax.evaluation.probes.logistic import lbfgs
from m3i_jax.evaluation.progress import counted
from m3i_jax.ranges import Count, Range


def layer_probes(
    *,
    pool: tokens.Pool | None = None,
    norm: bool = True,
    linear: bool = True,
    k: Count = 20,
    temperature: Annotated[float, Range(0, 100, above=True)] = 0.07,
) -> Measure:
    """Accuracy of the tasks `knn` and `linear` on the features of every block.

    Of the last block it is what `m3i evaluate` finds on as many images.

    Args:
      pool: of the tokens of a block, "mean" of the patches or "cls"; None = as features are.
      norm: whether tokens pass the encoder's last norm, as those of the last block do.
      linear: whether the linear probe is fitted, too.
      k, temperature: of the neighbours' vote.
    """

    def look(evaluation: Evaluation) -> Look:
        pooled = tokens.pooler(evaluation, pool=pool)
        last = _last_norm(evaluation) if norm else (lambda x: x)
        return Look(layers=lambda x: pooled(last(x)))

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        if not evaluation.data.held_out:
            raise NotMeasurable("a probe is fitted to training images, and not measured on them")
        try:
            for split in ("train", "test"):
                protocol.require_labels(evaluation.source(split), split=split, what="a probe")
        except ConfigError as error:
            raise NotMeasurable(str(error)) from error
        name = f"layer_probes:pool={pool},norm={norm}"
        train = passes.observed(evaluation, {name: look(evaluation)}, split="train")[name]
        values: dict[str, list[float]] = {}
        pairs = list(zip(train.layers, rows.layers, strict=True))
        for pair in counted(pairs, "probes of block", total=len(pairs)):
            sets = [_labelled(*of) for of in zip(pair, (train.labels, rows.labels), strict=True)]
            count = len(sets[1].labels)
            shares = {"knn": knn(*sets, k=k, temperature=temperature)[k]}
            if linear:
                shares["linear"] = lbfgs(*sets, quiet=True).top1
            for name, share in shares.items():
                low, high = wilson(share, count)
                for end, number in (("", share), ("_low", low), ("_high", high)):
                    values.setdefault(name + end, []).append(float(number))
        counts = {"test": count, "train": len(sets[0].labels)}
        return Shown("layers", values, counts=counts)

    settings = dict(pool=pool, norm=norm, linear=linear, k=k, temperature=temperature)
    return Measure("layer_probes", "accuracy of blocks", "share", settings, measure, look)


def _last_norm(evaluation: Evaluation):
    """The norm behind the last block, its weights as constants."""
    model = evaluation.model
    own = {k: x for k, x in model.params["encoders"]["image"].items() if k == "norm"}
    params = {"encoders": {"image": jax.tree.map(np.asarray, own)}}
    return lambda x: models.last_norm(model, params, x.astype(np.float32))


def _labelled(features: np.ndarray, labels: np.ndarray) -> FeatureSet:
    """The rows that have a label."""
    return FeatureSet(np.asarray(features)[labels >= 0], labels[labels >= 0])
