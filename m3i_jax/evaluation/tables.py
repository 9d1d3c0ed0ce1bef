"""Results side by side: models × tasks, in percent, with their intervals; the best is marked."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

from m3i_jax.evaluation.results import Result, is_share
from m3i_jax.evaluation.tasks import defaults

BEST = "*"
# What of an evaluation decides all its numbers, whatever the task; see `Evaluation.settings`.
SETTINGS = {"pool", "train_limit", "test_limit", "image", "ratio"}
Column = tuple[str, str]  # task, metric
Row = tuple[str, str]  # model, data
Cells = dict[tuple[Row, Column], tuple[float, Sequence[float] | None]]


class Table(NamedTuple):
    """Results as rows and columns: the latest number of each, with its interval or None."""

    rows: Sequence[Row]
    columns: Sequence[Column]
    cells: Cells

    def best(self, row: Row, column: Column) -> bool:
        """Whether no number of this column is better on this data, of two or more."""
        same = [
            x for ((_, of), name), (x, _) in self.cells.items() if (of, name) == (row[1], column)
        ]
        known = {task.name: task for task in defaults()}
        task = known.get(_task(column[1]))
        best = min(same) if task and task.lower else max(same)
        return len(same) > 1 and self.cells[row, column][0] == best


def arranged(results: Sequence[Result]) -> Table:
    """A row for every model on every data set, a column for every task."""
    results = _apart(results)
    rows = [*dict.fromkeys((_model(r), r.data) for r in results)]
    return Table(rows, _columns(results), _cells(results))


def compared(results: Sequence[Result]) -> str:
    """A row for every model on every data set, a column for every task; the latest number of each.

    model             data            linear top1           knn top1_k20
    runs/mae@5000     fashion_mnist   83.1* (82.3–83.8)     80.2* (79.4–81.0)
    pixels            fashion_mnist   81.4  (80.6–82.1)     77.8  (77.0–78.6)

    The best of a column on its data set has a star, and so have those whose numbers are equal. What
    was measured in several ways has a row for each: `runs/mae@5000 pool=cls`.
    """
    table = arranged(results)
    titles = (f"{task} {name.split('/', 2)[2]}" for task, name in table.columns)
    rows = [("model", "data", *titles)]
    for row in table.rows:
        rows.append((*row, *(_cell(table, row, column) for column in table.columns)))
    if not any(row[1] for row in rows[1:]):  # of before there was more than one data set
        rows = [(model, *rest) for model, _, *rest in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _apart(results: Sequence[Result]) -> list[Result]:
    """The same results, in whose names is what else was varied of a model on its data."""
    values = collections.defaultdict(set)
    for r in results:
        for key in SETTINGS & r.protocol.keys():
            values[_model(r), r.data, key].add(str(r.protocol[key]))
    named = []
    for r in results:
        varied = [key for key in sorted(SETTINGS) if len(values[_model(r), r.data, key]) > 1]
        said = [f"{key}={r.protocol[key]}" for key in varied if key in r.protocol]
        named.append(r._replace(model=" ".join([_model(r), *said])))
    return named


def _columns(results: Sequence[Result]) -> list[Column]:
    """(task, metric) of what is shown: of a task its headline, of what no task is, everything."""
    known = {task.name: task.metric for task in defaults()}
    names = {name for result in results for name in result.metrics}
    columns = {}
    for result in results:
        for name in result.metrics:
            headline = known.get(_task(name))
            if headline not in names or name == headline:  # k may be another one
                columns[result.task or _task(name), name] = None
    return [*columns]


def _cells(results: Sequence[Result]) -> Cells:
    """(value, interval) by row and column, the latest of each."""
    return {
        ((_model(r), r.data), (r.task or _task(name), name)): (value, r.intervals.get(name))
        for r in results
        for name, value in r.metrics.items()
    }


def _task(metric: str) -> str:
    return metric.split("/")[1]


def _model(result: Result) -> str:
    """What a row is called; results of before had no names of models."""
    return result.model or f"{result.branch}@{result.step}"


def _cell(table: Table, row: Row, column: Column) -> str:
    """The number with its mark and interval."""
    if (row, column) not in table.cells:
        return "–"
    value, interval = table.cells[row, column]
    shown = (lambda x: f"{100 * x:.1f}") if is_share(column[1]) else (lambda x: f"{x:.4g}")
    mark = BEST if table.best(row, column) else " "
    ends = "" if interval is None else " ({}–{})".format(*map(shown, interval))
    return f"{shown(value)}{mark}{ends}"
