"""Nearest class mean: the class whose mean direction is nearest, without any training.

Mensink et al. 2013, https://doi.org/10.1109/TPAMI.2013.83; with unit vectors as in iCaRL, Rebuffi
et al. 2017, §3.1, https://arxiv.org/abs/1611.07725.
"""

import numpy as np

from m3i_jax.evaluation.features import FeatureSet, require_tables
from m3i_jax.evaluation.probes.probe import CHUNK, Tally, tally
from m3i_jax.types import Array


def nearest_class_mean(train: FeatureSet, test: FeatureSet) -> Tally:
    """How often the mean of a test row's own class is the one of highest cosine.

        class = argmax_c cos(z, Σ_{y_i = c} z_i/‖z_i‖)

    In float64; a class without a training row is never answered.

    Raises:
      NotMeasurable, ValueError: see `features.require_tables`.
    """
    require_tables(train, test, what="the nearest class mean")
    classes = 1 + int(max(np.max(train.labels), np.max(test.labels)))
    sums = np.zeros((classes, train.features.shape[1]))
    for i in range(0, len(train.labels), CHUNK):
        np.add.at(sums, train.labels[i : i + CHUNK], unit(train.features[i : i + CHUNK]))
    means, empty = unit(sums), np.bincount(train.labels, minlength=classes) == 0
    return tally(lambda x: np.where(empty, -np.inf, unit(x) @ means.T), test)


def unit(x: Array) -> np.ndarray:
    """Rows of length 1, in float64; a row of zeros stays one."""
    x = np.asarray(x, np.float64)
    largest = np.abs(x).max(1, keepdims=True)  # so that no square under- or overflows
    x = x / np.where(largest > 0, largest, 1)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)
