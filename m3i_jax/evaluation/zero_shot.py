"""Classification by the names of classes: a classifier of text embeddings, without a label.

Radford et al. 2021, §3.1, https://arxiv.org/abs/2103.00020; docs/methods.md#zero-shot.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from m3i_jax.types import Array


def sentences(names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every class in every template: C·T texts, those of a class in succession."""
    return [template.replace("{}", name) for name in names for template in templates]


def prototypes(
    embeddings: Float[Array, "classes templates dim"],
) -> Float[np.ndarray, "classes dim"]:
    """One unit vector a class: the direction of the mean of its templates' unit vectors, float64.

    Raises:
      ValueError: the vectors of a class cancel, or are 0.
    """
    mean = _unit(np.asarray(embeddings, np.float64)).mean(1)
    return _unit(mean)


def alike(classes: Float[Array, "classes dim"]) -> list[int]:
    """Which classes have the vector of another one: texts of equal tokens."""
    _, place, counts = np.unique(classes, axis=0, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[place.reshape(-1)] > 1).tolist()


def scores(
    images: Float[Array, "images dim"], classes: Float[Array, "classes dim"]
) -> Float[np.ndarray, "images classes"]:
    """Image times class, (N, C) float64: cosines times the length of an image's vector.

    That length is the scale e^s that the model has learned, so softmax of these are its P̂.
    """
    return np.asarray(images, np.float64) @ np.asarray(classes, np.float64).T


def _unit(x: Float[np.ndarray, "*positions dim"]) -> Float[np.ndarray, "*positions dim"]:
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    if not length.all():
        raise ValueError("an embedding is 0, and has no direction to compare with")
    return x / length
