"""An untrained ViT of three blocks on a few digit scenes, and its tokens block by block."""

import jax.numpy as jnp
import numpy as np

from m3i_jax.analysis import measures
from m3i_jax.analysis.rows import observed
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.evaluation import Evaluation
from tests.evaluation import toy_models

VIT = dict(name="vit_nano", image=16, patch=4, width=16, depth=3, heads=2)


def evaluation(tmp_path, *, batch=16, seed=0, block=VIT, **how):
    """A model that `seed` draws, on 43 digit scenes."""
    of = datasets.of_run(toy_models.of_config("m3i"))
    return Evaluation(models.fresh(block, seed=seed), of, batch=batch, quiet=True, **how)


def tokens(evaluation, *, split="test"):
    """What is behind every block, class token first: (N, depth, n, D) float64."""

    def whole(params, images):
        features = evaluation.encode(params, images, layers=True)
        x = features.layers
        if features.layers_pooled is not None:
            x = jnp.concatenate([features.layers_pooled[:, :, None], x], axis=2)
        return x.swapaxes(0, 1)

    return np.float64(evaluation.mapped(split, whole, name="all tokens").features)


def shown(measure, evaluation):
    """What a measure shows of a model, by itself."""
    name = measures.written(measure)
    rows = observed(evaluation, {name: measure.look(evaluation)} if measure.look else {})
    return measure.measure(evaluation, rows.get(name))
