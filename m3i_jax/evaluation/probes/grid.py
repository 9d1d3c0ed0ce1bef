"""A grid of heads: trained together on several kinds of features, the best chosen, measured."""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes import cached, drawn, heads
from m3i_jax.evaluation.probes.heads import Head, Table
from m3i_jax.evaluation.probes.probe import Tally, tally
from m3i_jax.evaluation.probes.rows import HELD_OUT, TEST, Kinds, Rows
from m3i_jax.types import Array

NEW = "new"  # crops: drawn in the step
STEPS = 12500  # of 1024 images: ten epochs of ImageNet (DINOv2, CAPI)


class Plan(NamedTuple):
    """How the heads of one kind are trained.

    head, start: the function, and (key, width, classes) -> its first parameters.
    rule: of the optimiser, without a rate.  schedule: steps -> factors of the rate.
    rates: per 256 images of a batch.  decays: of each head.  batch: images of a step.
    floor: the least rate, per 256 images.
    steps: how many; None = `most`, but no more than `epochs` take.
    epochs: the most times that training is seen where nobody says the steps.
    most: steps of as much data as there may be; None = all that `epochs` take.
    choose: `HELD_OUT`, a tenth of training, or `TEST`, as DINOv2 does it.
    normalise: features go through a batch norm without affine.
    """

    head: Head
    start: Callable[[Array, int, int], heads.Params]
    rule: optax.GradientTransformation
    schedule: Callable[[int], Sequence[float]]
    rates: Sequence[float]
    decays: Sequence[float]
    batch: int = 1024
    steps: int | None = None
    epochs: float = 100
    choose: str = HELD_OUT
    seed: int = 0
    normalise: bool = False
    floor: float = 0.0
    most: int | None = STEPS


class Trained(NamedTuple):
    """The heads that a plan has trained, and the one that was chosen.

    tables, shares: heads of each kind of features, and how often each is right where it counts.
    kind, best: of the chosen head: its features, and its number.
    tally: of the chosen head on the test rows, `tested` of them.
    steps, batch: of training.
    """

    tables: dict[str, Table]
    shares: dict[str, np.ndarray]
    kind: str
    best: int
    tally: Tally
    tested: int
    steps: int
    batch: int

    @property
    def highest(self) -> dict[str, float]:
        """How often the best head of each kind of features is right, where it was chosen."""
        return {kind: float(shares.max()) for kind, shares in self.shares.items()}


def rows_of(
    evaluation: Evaluation,
    kinds: Kinds,
    plan: Plan,
    *,
    views: int | str,
    what: str,
    rand_augment: Mapping[str, Any] | None = None,
) -> Rows:
    """What heads learn from: crops drawn in the step, or features that are made once.

    views: `NEW`, or how many crops of each image are encoded beforehand; 0 = whole images.
    rand_augment: of crops drawn in the step, see `Crops`; None = off.
    """
    choice = dict(choose=plan.choose, seed=plan.seed, what=what)
    if views == NEW:
        return drawn.rows(evaluation, kinds, rand_augment=rand_augment, **choice)
    return cached.rows(evaluation, kinds, views=views, **choice)


def length(plan: Plan, rows: Rows) -> int:
    """Steps of training: those that were said, else the published ones, or fewer on less data."""
    if plan.steps is not None:
        return plan.steps
    there = math.ceil(plan.epochs * rows.learn / rows.batch(plan.batch))
    return there if plan.most is None else min(plan.most, there)


def train(plan: Plan, rows: Rows, *, what: str) -> Trained:
    """Trains the heads of a plan, chooses the one that is right most often, and measures it.

    Raises:
      ConfigError: no head has a finite score.
      NotMeasurable: none of the rows that choose or test can be read.
    """
    steps, batch = length(plan, rows), rows.batch(plan.batch)
    starts = {
        kind: functools.partial(plan.start, width=width, classes=rows.classes)
        for kind, width in rows.widths.items()
    }
    optimizer = heads.Optimizer(plan.rule, plan.schedule(steps), plan.floor * batch / 256)
    stream = rows.batches(batch, plan.seed)
    batches = itertools.islice(stream, steps)
    rates = np.asarray(plan.rates) * batch / 256
    settings = dict(rates=rates, decays=plan.decays, normalise=plan.normalise, sight=rows.sight)
    try:
        key = jax.random.key(plan.seed)
        tables = heads.fit(plan.head, starts, optimizer, batches, key, what=what, **settings)
    finally:
        stream.close()
    shares = _shares(plan, rows, tables, what)
    kind = max(shares, key=lambda kind: shares[kind].max())
    best = int(shares[kind].argmax())
    tested, scored = _measured(plan, rows, kind, tables[kind].only(best), what)
    return Trained(tables, shares, kind, best, scored, tested, steps, batch)


def _shares(plan: Plan, rows: Rows, tables: dict[str, Table], what: str) -> dict[str, Any]:
    """Share of the rows that choose of which each head is right; of scores that are none, 0."""

    order = [*tables]

    @jax.jit
    def chosen(tables, frozen, inputs):
        seen = rows.sight.see(frozen, inputs)
        each = [heads.choices(plan.head, tables[kind], seen[kind]) for kind in order]
        return jnp.concatenate(each, axis=1)

    said, labels = _all(rows, plan.choose, chosen, tables, what)
    if (said < 0).all():
        raise ConfigError(f"{what}: none has a finite score; try smaller rates")
    right = (said == labels[:, None]).mean(0)
    ends = np.cumsum([len(table.rates) for table in tables.values()])[:-1]
    return dict(zip(order, np.split(right, ends), strict=True))


def _measured(plan: Plan, rows: Rows, kind: str, one: Table, what: str) -> tuple[int, Tally]:
    """How often the chosen head is right on the test rows, and how many there are."""

    @jax.jit
    def scored(table, frozen, inputs):
        return heads.scores(plan.head, table, rows.sight.see(frozen, inputs)[kind])[0]

    scores, labels = _all(rows, TEST, scored, one, what)
    return len(labels), tally(lambda x: x, FeatureSet(scores, labels))


def _all(rows: Rows, which: str, program: Any, tables: Any, what: str) -> tuple[Any, Any]:
    """What a program makes of all rows that judge, and their labels."""
    parts = [*rows.judged(which, program, rows.sight.place(tables))]
    columns, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(labels):
        raise NotMeasurable(f"{what}: none of the {which} images that can be read has a label")
    return columns, labels
