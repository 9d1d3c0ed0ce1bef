"""How long the tokens of each block are, and which are outliers: how many, and where."""

import numpy as np
from jaxtyping import Float

from m3i_jax import pictures
from m3i_jax.analysis import tokens
from m3i_jax.analysis.measure import Look, Measure, Picture, Rows, Shown
from m3i_jax.analysis.repair import heat
from m3i_jax.evaluation import models
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.ranges import Positive

QUANTILES = {"median": 0.5, "median_low": 0.05, "median_high": 0.95}
CELL, GREY = 8, 200  # pixels of a cell in the picture; a trace of grey parts it from the page


def norms(*, deviations: Positive = 6.0, cutoff: Positive | None = None) -> Measure:
    """Norms of the patch tokens behind each block, and their outliers.

    In large models some have ten times the norm of the others, stand for dull patches and
    hold what is global (Darcet et al. 2024, §2, https://arxiv.org/abs/2309.16588).

    Args:
      deviations: from the median of a block, in robust standard deviations, above which a token is
        an outlier, see `tokens.cutoff`.
      cutoff: a norm above which it is one, instead; the paper has 150 for DINOv2 ViT-g.
    """

    def look(evaluation: Evaluation) -> Look:
        return Look(layers=tokens.norms)

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        first = models.tokens_in_front(evaluation.model)
        patches = [np.asarray(block)[:, first:] for block in rows.layers]
        limits = [cutoff or tokens.cutoff(block, deviations=deviations) for block in patches]
        outliers = [block > limit for block, limit in zip(patches, limits, strict=True)]
        values = {
            "mean": [block.mean(dtype=np.float64) for block in patches],
            **{name: [np.quantile(x, q) for x in patches] for name, q in QUANTILES.items()},
            "largest": [block.max() for block in patches],
            "cutoff": limits,
            "outliers": [block.mean() for block in outliers],
        }
        if models.has_class_token(evaluation.model):
            values["class_token"] = [block[:, 0].mean(dtype=np.float64) for block in rows.layers]
        values = {name: [float(x) for x in column] for name, column in values.items()}
        maps = [tokens.where(block) for block in outliers]
        counts = {"test": len(rows.index)}
        return Shown("layers", values, counts=counts, pictures=_pictures(maps))

    settings = {"deviations": deviations, "cutoff": cutoff}
    return Measure("norms", "norms of tokens", "", settings, measure, look)


def _pictures(maps: list[Float[np.ndarray, "rows columns"] | None]) -> list[Picture]:
    """Where outliers are, block by block, each on a scale of its own; none where there are none."""
    drawn, captions = [], []
    for number, shares in enumerate(maps, 1):
        if shares is not None and shares.any():
            blank = np.full((*(CELL * side for side in shares.shape), 3), GREY, np.uint8)
            drawn.append(heat(blank, shares / shares.max()))
            captions.append(f"block {number}: up to {shares.max():.2g}")
    if not drawn:
        return []
    caption = "How often each cell holds an outlier, darkest where most often: " + "; ".join(
        captions
    )
    image = pictures.grid(drawn, columns=6, captions=captions)
    return [Picture(caption, image)]
