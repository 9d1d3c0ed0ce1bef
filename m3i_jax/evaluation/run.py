"""Evaluates: every task on every model, on features that are made once, results as they come."""

import datetime
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import datasets, refusals
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.intervals import wilson
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.refusals import Place, Refusal, Unread
from m3i_jax.evaluation.results import Result, named, write
from m3i_jax.evaluation.tasks import Measured, Task, written
from m3i_jax.training.starts import versions

LOG = logging.getLogger(__name__)


def measured(tasks: Sequence[Task], evaluation: Evaluation) -> Iterator[Result]:
    """One result per task, as they come, on the same features; one that cannot be had is skipped.

    Raises:
      NotMeasurable, ...: at the end, why there is none of some tasks, see `refusals.end`.
    """
    found, refused = [], []
    for result in _tried(tasks, evaluation, refused):
        found.append(_place(result))
        yield result
    refusals.end(refused, found)


def _tried(
    tasks: Sequence[Task], evaluation: Evaluation, refused: list[Refusal]
) -> Iterator[Result]:
    """The results that can be had; why others cannot is added to `refused`."""
    pixels = evaluation.model.network is None
    for number, task in enumerate(tasks, 1):
        LOG.info("task %d of %d: %s", number, len(tasks), task.title)
        try:
            yield _result(task, evaluation)
        except refusals.Lacking as error:  # other tasks may not want what this one lacks
            expected = pixels and isinstance(error, NotMeasurable)
            if expected:
                LOG.warning("%s", error)
            else:
                LOG.info("it cannot be measured: %s", error)
            place = Place(written(task), evaluation.model.name, evaluation.data.name)
            refused.append(Refusal(place, error, expected))


def _able(tasks: Sequence[Task], evaluation: Evaluation, refused: list[Refusal]) -> Sequence[Task]:
    """The tasks; [] where the data cannot be opened, and why goes to `refused`."""
    try:
        evaluation.source("train")
    except refusals.Lacking as error:
        refused += _everywhere(tasks, evaluation.model.name, error, data=evaluation.data.name)
        return []
    return tasks


def _place(result: Result) -> Place:
    """Where in the table a result is."""
    return Place(result.task, result.model, result.data)


def _result(task: Task, evaluation: Evaluation) -> Result:
    """What a task finds, with all that is written beside it."""
    numbers, model = task.measure(evaluation), evaluation.model
    return Result(
        named(task.name, **numbers.metrics),
        model.branch,
        model.step,
        {**evaluation.settings, **task.settings, **numbers.protocol},
        dict(numbers.counts),
        model=model.name,
        weights=evaluation.weights,
        data=evaluation.data.name,
        records=evaluation.records,
        task=written(task),
        intervals=_intervals(task, numbers),
        versions=versions(),
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def measure(tasks: Sequence[Task], evaluation: Evaluation) -> list[Result]:
    """All results of `measured`."""
    return list(measured(tasks, evaluation))


def evaluate(tasks: Sequence[Task], compared: Iterable[Model], **settings: Any) -> list[Result]:
    """All results of `evaluated`."""
    return list(evaluated(tasks, compared, **settings))


def evaluated(
    tasks: Sequence[Task],
    compared: Iterable[Model | Unread],
    *,
    on: Sequence[Data] = (),
    place: str | Path | None = None,
    **settings: Any,
) -> Iterator[Result]:
    """Measures every model on every data set by every task; gives each result when it is written.

    Args:
      tasks: see `tasks.create`.
      compared: the models, one after another; one that cannot be read does not end it.
      on: data sets; none = that of the run that a model is of.
      place: file or folder of the results; None = the work directory of the run that a model is
        of, and else the folder of the process.
      settings: of `Evaluation`: `pool`, `train_limit`, `test_limit`, ...

    Raises:
      NotMeasurable, ...: at the end, why some results are lacking, see `refusals.end`.
    """
    first, found, refused = jax.process_index() == 0, [], []
    for model in compared:
        if isinstance(model, Unread):
            refused += _everywhere(tasks, model.name, model.error)
            continue
        for of in on or _own(model, tasks, refused):
            LOG.info("%s on %s", model.name, of.name)
            evaluation = Evaluation(model, of, **settings)
            for result in _tried(_able(tasks, evaluation, refused), evaluation, refused):
                if first:  # all processes have found the same
                    write(place or model.workdir or ".", [result])
                found.append(_place(result))
                yield result
    refusals.end(refused, found)


def _own(model: Model, tasks: Sequence[Task], refused: list[Refusal]) -> list[Data]:
    """The data of the run that a model is of; [] where it is of none, and why goes to `refused`."""
    try:
        return [datasets.of_run(model)]
    except ConfigError as error:
        refused += _everywhere(tasks, model.name, error)
        return []


def _everywhere(
    tasks: Sequence[Task], model: str, error: Exception, *, data: str = ""
) -> list[Refusal]:
    """What keeps a model from every task, on some data or "" whatever they are."""
    return [Refusal(Place(written(task), model, data), error) for task in tasks]


def _intervals(task: Task, measures: Measured) -> dict[str, list[float]]:
    """(low, high) of the metrics that have an interval: Wilson's of shares of the test rows."""
    rows, ends = measures.counts.get("test", 0), dict(measures.intervals)
    if task.unit == "share" and rows:
        shares = {k: v for k, v in measures.metrics.items() if v is not None and k not in ends}
        ends |= {measure: wilson(share, rows) for measure, share in shares.items()}
    known = {measure: pair for measure, pair in ends.items() if pair is not None}
    return {f"eval/{task.name}/{measure}": [*map(float, pair)] for measure, pair in known.items()}
