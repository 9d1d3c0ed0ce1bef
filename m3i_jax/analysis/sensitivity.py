"""What changes at the end of an encoder when one of its parts is taken out, for each part in turn.

One compiled program does without each of them (`evaluation.removal` with traced numbers), image by
image, so that nothing is kept but the pooled features.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from m3i_jax.analysis import similarity
from m3i_jax.evaluation import models
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.pooling import pooled
from m3i_jax.evaluation.probes import knn as neighbours
from m3i_jax.types import Array

K = 20  # neighbours that vote

Removed = Callable[..., Any]


class Variants(NamedTuple):
    """Pooled features of an encoder as it is, and without each of its parts.

    intact: (N, D).  without: (N, variants, D).  labels: (N,), -1 = none.
    """

    intact: Float[np.ndarray, "images dim"]
    without: Float[np.ndarray, "images variants dim"]
    labels: Int[np.ndarray, " images"]


def variants(
    evaluation: Evaluation, removed: Removed, *numbers: Int[np.ndarray, " variants"], name: str
) -> Variants:
    """Features of the test images without each part.

    Args:
      evaluation: a model with an encoder.
      removed: (parameters of the encoder, a number of each of `numbers`) -> parameters.
      numbers: of the parts, such as their blocks and heads.
      name: which says what is removed.
    """

    def apply(params: Any, images: Array) -> Float[Array, "batch parts dim"]:
        own = params["encoders"]["image"]

        def features(image: Any) -> Float[Array, "batch dim"]:
            changed = {**params, "encoders": {**params["encoders"], "image": image}}
            return pooled(models.encode(evaluation.model, changed, images), evaluation.pool)

        without = jax.lax.map(lambda part: features(removed(own, *part)), tuple(numbers))
        return jnp.concatenate([features(own)[None], without]).swapaxes(0, 1)

    features = evaluation.mapped("test", apply, name=f"{evaluation.pool} without each {name}")
    rows = np.asarray(features.features)
    return Variants(rows[:, 0], rows[:, 1:], np.asarray(features.labels))


def cosine(of: Variants) -> Float[np.ndarray, " variants"]:
    """Mean over the images of 1 − cos(z, z'), z' without the part: 0 = it does nothing."""
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True).clip(1e-12)  # noqa: E731
    return 1 - np.einsum("nd,nvd->nv", unit(of.intact), unit(of.without)).mean(0)


def cka(of: Variants) -> Float[np.ndarray, " variants"]:
    """1 − CKA of the features with and without the part, debiased: how far images are rearranged.

    Raises:
      NotMeasurable: fewer images than HSIC₁ needs.
    """
    if len(of.intact) < similarity.LEAST:
        raise NotMeasurable(f"CKA needs {similarity.LEAST} images, and {len(of.intact)} were read")
    parts = of.without.astype(np.float64).swapaxes(0, 1)
    intact = of.intact.astype(np.float64)
    return np.array([1 - similarity.cka(intact, part, unbiased=True) for part in parts])


def accuracy(of: Variants) -> Float[np.ndarray, " parts"]:
    """kNN accuracy of the intact encoder, and without each part.

    Of the labelled images, in their order, every second one votes on the others, both as the
    damaged encoder sees them.

    Raises:
      NotMeasurable: no images with labels.
    """
    kept = of.labels >= 0
    if kept.sum() < 2:
        raise NotMeasurable("the images have no labels, which kNN needs")
    labels = of.labels[kept]
    parts = np.concatenate([of.intact[:, None], of.without], axis=1)[kept].swapaxes(0, 1)
    halves = [[FeatureSet(part[half::2], labels[half::2]) for half in (0, 1)] for part in parts]
    return np.array([neighbours.knn(*pair, k=K)[K] for pair in halves])
