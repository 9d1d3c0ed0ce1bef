"""Evaluates: every task on every model, on features that are made once, results as they come."""

import datetime
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from m3i_jax.evaluation import datasets
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.intervals import wilson
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.results import Result, named, write
from m3i_jax.evaluation.tasks import Measured, Task, written
from m3i_jax.training.starts import versions

LOG = logging.getLogger(__name__)


def measured(tasks: Sequence[Task], evaluation: Evaluation) -> Iterator[Result]:
    """One result per task, as they come, on the same features; one that cannot be had is skipped.

    Raises:
      NotMeasurable: at the end, why there is none of some tasks. Of raw pixels, which have no heads
        of their own, only the log says so.
    """
    refused = []
    for number, task in enumerate(tasks, 1):
        LOG.info("task %d of %d: %s", number, len(tasks), task.title)
        try:
            yield _result(task, evaluation)
        except NotMeasurable as error:  # other tasks may not want what this one lacks
            if evaluation.model.network is None:
                LOG.warning("%s", error)
            else:
                LOG.info("it cannot be measured; the end says why")
                refused.append(str(error))
    _refuse(refused)


def _refuse(refused: list[str]) -> None:
    """Raises NotMeasurable with all sentences, if there are any."""
    if refused:
        raise NotMeasurable("; ".join(dict.fromkeys(refused)))


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
    compared: Iterable[Model],
    *,
    on: Sequence[Data] = (),
    place: str | Path | None = None,
    **settings: Any,
) -> Iterator[Result]:
    """Measures every model on every data set by every task; gives each result when it is written.

    Args:
      tasks: see `tasks.create`.
      compared: the models, one after another.
      on: data sets; none = that of the run that a model is of.
      place: file or folder of the results; None = the work directory of the run that a model is
        of, and else the folder of the process.
      settings: of `Evaluation`: `pool`, `train_limit`, `test_limit`, ...

    Raises:
      NotMeasurable: at the end, why some results are lacking.
    """
    first, refused = jax.process_index() == 0, []
    for model in compared:
        for of in on or [datasets.of_run(model)]:
            LOG.info("%s on %s", model.name, of.name)
            try:
                for result in measured(tasks, Evaluation(model, of, **settings)):
                    if first:  # all processes have found the same
                        write(place or model.workdir or ".", [result])
                    yield result
            except NotMeasurable as error:
                refused.append(str(error))
    _refuse(refused)


def _intervals(task: Task, measures: Measured) -> dict[str, list[float]]:
    """(low, high) of the metrics that have an interval: Wilson's of shares of the test rows."""
    rows, ends = measures.counts.get("test", 0), dict(measures.intervals)
    if task.unit == "share" and rows:
        shares = {k: v for k, v in measures.metrics.items() if v is not None and k not in ends}
        ends |= {measure: wilson(share, rows) for measure, share in shares.items()}
    return {f"eval/{task.name}/{measure}": [*map(float, pair)] for measure, pair in ends.items()}
