"""A grid of heads on the features of an evaluation: trained together, the best chosen, measured."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from m3i_jax.data.views.crops import random_resized_crop
from m3i_jax.evaluation.evaluation import Evaluation, Transform
from m3i_jax.evaluation.features import FeatureSet, require_tables
from m3i_jax.evaluation.probes import heads
from m3i_jax.evaluation.probes.heads import Head, Optimizer, Table
from m3i_jax.evaluation.probes.probe import Tally, tally
from m3i_jax.types import Array

HELD_OUT, TEST = "held_out", "test"  # what the best head is chosen on


class Plan(NamedTuple):
    """How the heads of one kind are trained.

    head, start: the function, and (key, width, classes) -> its first parameters.
    optimizer: see `heads.Optimizer`; it says how many steps there are.
    rates: per 256 images of a batch.  decays: of each head.  batch: images of a step.
    choose: `HELD_OUT`, a tenth of training, or `TEST`, as DINOv2 does it.
    """

    head: Head
    start: Callable[[Array, int, int], heads.Params]
    optimizer: Optimizer
    rates: Sequence[float]
    decays: Sequence[float]
    batch: int
    choose: str = HELD_OUT
    seed: int = 0


class Trained(NamedTuple):
    """The heads on one kind of features.

    table: all of them.  shares: of right answers, of each, on the rows that choose.
    """

    table: Table
    shares: np.ndarray

    @property
    def best(self) -> int:
        """The head that is right most often; of equals the first."""
        return int(self.shares.argmax())


def train(
    plan: Plan, sets: tuple[FeatureSet, FeatureSet], *, views: Sequence[FeatureSet], what: str
) -> Trained:
    """Trains the heads of a plan, and says how often each is right.

    Args:
      sets: training and test features of whole images.
      views: features of training under other crops, which epochs take in turn; () = whole images.
      what: is trained, for the log and for sentences.

    Raises:
      NotMeasurable, ValueError: see `features.require_tables`.
    """
    whole, test = sets
    require_tables(*(flat(rows) for rows in sets), what=what)
    learn, held = split(len(whole.labels), plan)
    labels = np.asarray(whole.labels)
    classes = 1 + int(max(labels.max(), np.max(test.labels)))
    batch = min(plan.batch, len(learn))
    epochs = views or (whole,)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        how = dict(batch=batch, steps=len(plan.optimizer.factors), seed=plan.seed)
        for epoch, rows in heads.shuffled(len(learn), **how):
            numbers = np.sort(learn[rows])  # a file is read forwards
            yield epochs[epoch % len(epochs)].features[numbers], labels[numbers]

    start = functools.partial(plan.start, width=whole.features.shape[-1], classes=classes)
    rates = np.asarray(plan.rates) * batch / 256
    key = jax.random.key(plan.seed)
    how = dict(rates=rates, decays=plan.decays, what=what)
    table = heads.fit(plan.head, start, plan.optimizer, batches(), key, **how)
    judges = test if plan.choose == TEST else FeatureSet(whole.features[held], labels[held])
    return Trained(table, heads.top1(plan.head, table, judges))


def split(count: int, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """(rows that heads learn from, rows that choose one), a tenth of all and one at least."""
    order = np.random.default_rng(plan.seed).permutation(count)
    cut = max(1, count // 10) if plan.choose == HELD_OUT else 0
    return np.sort(order[cut:]), np.sort(order[:cut])


def measured(plan: Plan, found: Trained, test: FeatureSet) -> Tally:
    """How often the chosen head is right on the test rows."""
    best = found.table.only(found.best)
    return tally(lambda x: heads.scores(plan.head, best, x)[0], test)


def crops(evaluation: Evaluation, count: int, *, seed: int, **how: Any) -> list[FeatureSet]:
    """Features of the labelled training images under `count` random crops each, mirrored by halves.

    Area .08 to 1, ratio ¾ to 4/3, bicubic (torchvision's defaults), of what the model sees of an
    image otherwise.  how: of `Evaluation.features`.
    """
    found = []
    for number in range(count):
        change = functools.partial(_cropped, (seed, number))
        transform = Transform(f"crop {number} of seed {seed}, .08 to 1, mirrored", change)
        made = evaluation.features("train", transform=transform, **how)
        kept = np.asarray(made.labels) >= 0
        found.append(made if kept.all() else FeatureSet(made.features[kept], made.labels[kept]))
    return found


def _cropped(seed: tuple[int, int], images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """One crop of each image, of its own size, drawn by its number."""
    made = []
    for image, number in zip(images, numbers, strict=True):
        rng = np.random.default_rng((*seed, int(max(0, number))))
        made.append(random_resized_crop(image, rng, size=len(image), scale=(0.08, 1.0))[0])
    return np.stack(made)


def flat(rows: FeatureSet) -> FeatureSet:
    """Tokens side by side, as rows of a table."""
    return rows._replace(features=rows.features.reshape(len(rows.features), -1))
