"""Rows for a grid of heads out of features that are made once: of whole images, or of some crops.

The cheap form: a step costs no forward pass. An epoch takes the next of `views` crops of each
image, where the papers draw a new one (`drawn`).
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from m3i_jax.data.views.crops import random_resized_crop
from m3i_jax.evaluation.evaluation import Evaluation, Transform
from m3i_jax.evaluation.features import FeatureSet, require_tables
from m3i_jax.evaluation.probes import heads
from m3i_jax.evaluation.probes.rows import HELD_OUT, Kinds, Rows, split
from m3i_jax.types import Array

NUMBERS = 2**24  # features that judge at once
LARGEST = 1024  # rows, each of which has scores of all heads


def rows(
    evaluation: Evaluation, kinds: Kinds, *, views: int, choose: str, seed: int, what: str
) -> Rows:
    """Features of an evaluation, each kind of them made once.

    Args:
      kinds: names, and what `Evaluation.features` is told.
      views: random crops of each training image, which epochs take in turn; 0 = whole images.
      choose, seed: of the rows that are held out, see `rows.split`.
      what: is trained, for sentences.

    Raises:
      NotMeasurable, ValueError: see `features.require_tables`.
    """
    sets = {name: evaluation.labelled(what=what, **kind) for name, kind in kinds.items()}
    cuts = {name: crops(evaluation, views, seed=seed, **kind) for name, kind in kinds.items()}
    return of_sets(sets, cuts, choose=choose, seed=seed, what=what)


def of_sets(
    sets: dict[str, tuple[FeatureSet, FeatureSet]],
    cuts: dict[str, Sequence[FeatureSet]],
    *,
    choose: str,
    seed: int,
    what: str,
) -> Rows:
    """Rows out of (training, test) features of whole images, and those of training under crops."""
    for pair in sets.values():
        require_tables(*(_flat(table) for table in pair), what=what)
    whole, test = next(iter(sets.values()))
    learn, held = split(len(whole.labels), choose=choose, seed=seed)
    labels = np.asarray(whole.labels)

    def batches(batch: int, seed: int) -> Iterator[tuple[dict[str, Array], Array]]:
        for epoch, chosen in heads.shuffled(len(learn), batch=batch, seed=seed):
            numbers = np.sort(learn[chosen])  # a file is read forwards
            of_epoch = {k: cuts[k][epoch % len(cuts[k])] if cuts[k] else sets[k][0] for k in sets}
            yield {k: table.features[numbers] for k, table in of_epoch.items()}, labels[numbers]

    def judged(which, program, tables):
        side, chosen = (0, held) if which == HELD_OUT else (1, np.arange(len(test.labels)))
        features = {name: pair[side].features for name, pair in sets.items()}
        truth = np.asarray((whole, test)[side].labels)
        row = sum(x[:1].size for x in features.values())
        step = min(max(1, NUMBERS // row), LARGEST)
        for i in range(0, len(chosen), step):
            some = chosen[i : i + step]
            inputs = {name: x[some] for name, x in features.items()}
            yield np.asarray(program(tables, None, inputs)), truth[some]

    classes = 1 + int(max(labels.max(), np.max(test.labels)))
    widths = {name: pair[0].features.shape[-1] for name, pair in sets.items()}
    return Rows(len(learn), classes, widths, heads.GIVEN, batches, judged)


def crops(evaluation: Evaluation, count: int, *, seed: int, **kind: Any) -> list[FeatureSet]:
    """Features of the labelled training images under `count` random crops each, mirrored by halves.

    Area .08 to 1, ratio ¾ to 4/3, bicubic (torchvision's defaults), of what the model sees of an
    image otherwise.  kind: of features, `pool` and `blocks`.
    """
    cropped = []
    for number in range(count):
        features = evaluation.features("train", transform=crop(number, seed=seed), **kind)
        kept = np.asarray(features.labels) >= 0
        cropped.append(
            features if kept.all() else FeatureSet(features.features[kept], features.labels[kept])
        )
    return cropped


def crop(number: int, *, seed: int) -> Transform:
    """One of the random crops of each image, see `crops`."""
    change = functools.partial(_cropped, (seed, number))
    return Transform(f"crop {number} of seed {seed}, .08 to 1, mirrored", change)


def _cropped(seed: tuple[int, int], images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """One crop of each image, of its own size, drawn by its number."""
    cropped = []
    for image, number in zip(images, numbers, strict=True):
        rng = np.random.default_rng((*seed, int(max(0, number))))
        cropped.append(random_resized_crop(image, rng, size=len(image), scale=(0.08, 1.0))[0])
    return np.stack(cropped)


def _flat(rows: FeatureSet) -> FeatureSet:
    """Tokens side by side, as rows of a table."""
    return rows._replace(features=rows.features.reshape(len(rows.features), -1))
