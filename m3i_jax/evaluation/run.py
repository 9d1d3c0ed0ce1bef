"""Evaluates: models → features once → every task → results, written as they come."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m3i_jax.evaluation import models
from m3i_jax.evaluation.extraction import feature_sets
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.results import Result, named, write
from m3i_jax.evaluation.tasks import Task

LOG = logging.getLogger(__name__)


def measure(
    tasks: Sequence[Task],
    model: Model,
    *,
    pool: str = "mean",
    train_limit: int = 0,
    test_limit: int = 0,
) -> list[Result]:
    """One result per task, on the same features.

    pool, train_limit, test_limit: see `extraction.feature_sets`.
    """
    how = dict(pool=pool, train_limit=train_limit, test_limit=test_limit)
    train, test = feature_sets(model, **how)
    counts = {"train": len(train.labels), "test": len(test.labels)}
    results = []
    for task in tasks:
        metrics, settings = task.measure(train, test)
        protocol = {**how, **task.settings, **settings, "image": model.config.image}
        found = named(task.name, **metrics)
        results.append(Result(found, model.branch, model.step, protocol, counts))
    return results


def evaluate(
    tasks: Sequence[Task],
    path: str | Path,
    *,
    branch: str = "ema",
    step: int | None = None,
    baselines: bool = False,
    **how: Any,
) -> list[Result]:
    """Measures the encoder of a work directory, and writes eval.jsonl there.

    baselines: also the same encoder untrained, and raw pixels.
    how: `pool`, `train_limit`, `test_limit` of `measure`.
    """
    results = []
    compared = models.chosen(path, branch=branch, step=step, baselines=baselines)
    for number, model in enumerate(compared, 1):
        LOG.info("model %d of %d: %s", number, len(compared), model.branch)
        found = measure(tasks, model, **how)
        write(model.workdir, found)  # what is measured survives what follows
        results += found
    return results
