"""How many directions the features of each block fill, and how evenly."""

import numpy as np

from m3i_jax import metrics
from m3i_jax.analysis import rows as passes
from m3i_jax.analysis import spectrum, tokens
from m3i_jax.analysis.measure import Look, Measure, Rows, Shown
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.probes.cached import crop
from m3i_jax.ranges import Positive, Seed
from m3i_jax.types import Array

VIEWS = 2


def rank(
    *, pool: tokens.Pool | None = None, views: bool = True, t: Positive = 2.0, seed: Seed = 0
) -> Measure:
    """Effective rank, participation ratio, uniformity and alignment of the features of each block.

    See `metrics.effective_rank`, `metrics.participation`, and `spectrum` for Wang & Isola's
    (https://arxiv.org/abs/2005.10242).

    Args:
      pool: of the tokens of a block, "mean" of the patches or "cls"; None = as features are.
      views: whether two random crops of each image are encoded besides, for alignment.
      t: of uniformity.
      seed: of the crops.
    """

    def look(evaluation: Evaluation) -> Look:
        return Look(layers=tokens.pooler(evaluation, pool=pool))

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        if len(rows.index) < 2:
            raise NotMeasurable("a rank needs two images that can be read")
        values = {
            "effective_rank": [metrics.effective_rank(np.asarray(x)) for x in rows.layers],
            "participation": [metrics.participation(np.asarray(x)) for x in rows.layers],
            "uniformity": [spectrum.uniformity(np.asarray(x), t=t) for x in rows.layers],
        }
        if views:
            values["alignment"] = _alignments(evaluation, look(evaluation))
        values = {name: [float(x) for x in column] for name, column in values.items()}
        widths = [block.shape[1] for block in rows.layers]
        return Shown("layers", values, protocol={"dim": widths}, counts={"test": len(rows.index)})

    def _alignments(evaluation: Evaluation, of: Look) -> list[Array]:
        name = f"rank:pool={pool}"
        sides = [
            passes.observed(evaluation, {name: of}, transform=crop(number, seed=seed))[name].layers
            for number in range(VIEWS)
        ]
        return [
            spectrum.alignment(np.asarray(x), np.asarray(y)) for x, y in zip(*sides, strict=True)
        ]

    settings = {"pool": pool, "views": views, "t": t, "seed": seed}
    return Measure("rank", "rank of features", "", settings, measure, look)
