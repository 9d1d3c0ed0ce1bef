"""How much of a tokenizer's codebook is in use, on images that it was not trained on."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import metrics, normalize, quantize
from m3i_jax.checkpoints import weights
from m3i_jax.data.epoch import epoch
from m3i_jax.data.sources.subset import spread
from m3i_jax.evaluation import datasets, models


class Usage(NamedTuple):
    """Visual tokens in use.

    used: tokens that some patch chose.  effective: exp(H) of how often each was, as many equally
    frequent tokens say as much.  vocabulary: in the codebook.  patches: that chose.
    """

    used: int
    effective: float
    vocabulary: int
    patches: int


def of_choices(choice: np.ndarray, vocabulary: int) -> Usage:
    """Usage of a codebook of so many entries, from the tokens chosen: (...) int."""
    shares = metrics.usage(jnp.asarray(choice), vocabulary)
    effective = float(jnp.exp(metrics.entropy(shares)))
    return Usage(int((shares > 0).sum()), effective, vocabulary, choice.size)


def usage(path: str | Path, *, limit: int = 0, batch: int = 100) -> Usage:
    """Usage of the codebook of a run of `vq_kd` on its test set.

    path: the work directory.  limit: at most so many images, spread evenly; 0 takes all. Those
    that cannot be read choose nothing.
    """
    model = models.restore(path, branch="online")
    codebook = weights.load_slot(path, "codebook")["words"]
    source = datasets.of_run(model).open("test", None)
    source = spread(source, limit or len(source))
    network, grid = model.network, model.network.towers["image"].grid

    @jax.jit
    def chosen(params, codebook, images):
        features = network.encode(params, "image", normalize.levels(images))
        features = network.refine(params, "bottleneck", features, grid=grid, train=False)
        return quantize.nearest(features.tokens, codebook)

    rows = epoch(source, batch=min(batch, len(source)), size=model.config.image)
    words = [np.asarray(chosen(model.params, codebook, r.batch.images["a"]))[r.real] for r in rows]
    return of_choices(np.concatenate(words), len(codebook))
