"""Features of three overlapping clouds, on scales that differ a thousandfold."""

import types

import numpy as np

from m3i_jax.evaluation.features import FeatureSet


def tables(n=150, m=80, width=6, classes=3, noise=1.5, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width))
    scale, shift = 10.0 ** rng.uniform(-2, 2, width), 5 * rng.normal(size=width)
    made = []
    for count in (n, m):
        labels = rng.integers(0, classes, count).astype(np.int32)
        x = centres[labels] + noise * rng.normal(size=(count, width))
        made.append(FeatureSet(((x + shift) * scale).astype(np.float32), labels))
    return made


def evaluation(train, test):
    """What tasks ask, of features that are there."""
    sets = {"train": train, "test": test}
    return types.SimpleNamespace(
        labelled=lambda **how: (train, test),
        features=lambda split, **how: sets[split],
        classes=("ant", "bee", "cat"),
    )


def standardised(train, x):
    x, all_x = x.astype(np.float64), train.features.astype(np.float64)
    return (x - all_x.mean(0)) / np.sqrt(all_x.var(0) + 1e-6)
