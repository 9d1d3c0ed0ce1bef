"""What an evaluation found: one record, one line of `results.jsonl`, one row of a table."""

import errno
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax import jsonfile
from m3i_jax.checkpoints.json_lines import append, content, records
from m3i_jax.checkpoints.storage import writing
from m3i_jax.evaluation.tasks import defaults

FILE = "results.jsonl"
FORMER = "eval.jsonl"  # of versions before; read, and no longer written
BRANCHES = ("ema", "online", "file", "untrained", "pixels")  # the last two are baselines
# What a run with `config.validation` writes at its end: its encoder has trained, or was frozen.
FINE_TUNE, LINEAR_PROBE = "fine_tune", "linear_probe"
NAME = re.compile(r"(eval|probe)(/[a-z0-9_]+){2,}")


class Result(NamedTuple):
    """Numbers, and everything that is needed to compare them with other numbers.

    metrics: by name, `eval/<task>/<measure>`, such as eval/linear/top1; shares, not percents.
    branch: whose features, one of `BRANCHES`.  step: of the checkpoint.
    protocol: the settings that decide the numbers: pool, l2, k, resolution, ...
    counts: rows that were counted, by set, such as {"train": 1437, "test": 360}.
    model: its name.  weights: digest of them.
    data: name of the data set.  records: digest of those of each split.
    task: as a command line says it.
    intervals: (low, high) of metrics, 95 %.
    versions: of this library, of jax, ... that found it.  time: when, in UTC.
    """

    metrics: dict[str, float]
    branch: str
    step: int
    protocol: dict[str, Any]
    counts: dict[str, int]
    model: str = ""
    weights: str = ""
    data: str = ""
    records: Mapping[str, str] = {}
    task: str = ""
    intervals: Mapping[str, Sequence[float]] = {}
    versions: Mapping[str, str] = {}
    time: str = ""


KINDS = {
    name: {dict: dict, str: str, int: int}.get(getattr(kind, "__origin__", kind), Mapping)
    for name, kind in Result.__annotations__.items()
}


def named(protocol: str, **measures: float | None) -> dict[str, float]:
    """{"eval/<protocol>/<measure>": value}, without the measures that are None."""
    return {f"eval/{protocol}/{k}": float(v) for k, v in measures.items() if v is not None}


def write(workdir: str | Path, results: Sequence[Result]) -> Path:
    """Appends results to `workdir/results.jsonl`, all or none of them; returns the file.

    workdir: a folder, or the file itself, whose name ends in .jsonl.

    The file is replaced as a whole under a lock: a crash leaves the old lines, and evaluations
    that run at once lose none.

    Raises:
      ValueError: a result with an unknown branch, a malformed name or a number that is not finite.
      Unwritable: the disk is full or read-only.
    """
    path = file(workdir)
    append(path, [_line(result) for result in results])
    return path


def check(place: str | Path) -> None:
    """Refuses a place where no results can be written, before anything is measured.

    Raises:
      ConfigError: what is there is no ordinary file.
      Unwritable: its folder is read-only, or none.
    """
    path = file(place)
    there = next(folder for folder in path.absolute().parents if folder.exists())
    with writing(path):
        content(path)
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def file(place: str | Path) -> Path:
    """The file of results in a folder, or the file itself."""
    place = Path(place)
    return place if place.suffix == ".jsonl" else place / FILE


def read(workdir: str | Path) -> list[Result]:
    """The results of a work directory, or of a file, in the order in which they were written.

    [] where there are none. A line that is no result, as others may have written it, is left out,
    and the log says so.
    """
    last = file(workdir)
    paths = [last] if last == Path(workdir) else [last.with_name(FORMER), last]
    return [result for path in paths for result in records(path, parsed, what="result")]


def parsed(line: str) -> Result:
    """The result of one line.

    Raises:
      ValueError: it is none.
    """
    fields = jsonfile.parse(line)
    needed = set(Result._fields) - set(Result._field_defaults)
    if not isinstance(fields, dict) or not needed <= fields.keys() <= set(Result._fields):
        raise ValueError(f"expected an object with {', '.join(Result._fields)}")
    for name, value in fields.items():
        if not isinstance(value, KINDS[name]):
            raise ValueError(f"{name} is no {KINDS[name].__name__}")
    result = Result(**fields)
    if isinstance(result.step, bool) or result.step < 0:
        raise ValueError(f"step is {result.step}, expected a count")
    if not all(type(value) in (int, float) for value in result.metrics.values()):
        raise ValueError("a metric is no number")
    if not all(map(_is_interval, result.intervals.values())):
        raise ValueError("an interval is no two numbers")
    _line(result)
    return result


def _is_interval(value: Any) -> bool:
    numbers = isinstance(value, list | tuple) and all(type(x) in (int, float) for x in value)
    return numbers and len(value) == 2


def is_share(metric: str) -> bool:
    """Whether a number is a share, which is shown as percents; it may be a training run's own."""
    shares = {FINE_TUNE, LINEAR_PROBE} | {task.name for task in defaults() if task.unit == "share"}
    return metric.split("/")[1] in shares


def table(results: Sequence[Result]) -> str:
    """Results as text, one row per metric.

    metric             branch   step    value   rows
    eval/linear/top1   ema      5000   83.06%    360
    """
    rows = [("metric", "branch", "step", "value", "rows")]
    for result in results:
        count = result.counts.get("test", "")
        for name, value in result.metrics.items():
            shown = f"{100 * value:.2f}%" if is_share(name) else f"{value:.4g}"
            rows.append((name, result.branch, str(result.step), shown, str(count)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = (str.ljust, str.ljust, str.rjust, str.rjust, str.rjust)
    lines = (
        "   ".join(place(cell, w) for place, cell, w in zip(left, row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def show(results: Sequence[Result]) -> None:
    """Prints the table."""
    print(table(results), flush=True)


def _line(result: Result) -> str:
    """One line of JSON, of a result that says what it is."""
    if result.branch not in BRANCHES:
        raise ValueError(f"branch is '{result.branch}', expected one of {', '.join(BRANCHES)}")
    for name, value in result.metrics.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"'{name}' is no metric name; expected eval/<task>/<measure>")
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}; only finite numbers are recorded")
    return json.dumps(result._asdict(), allow_nan=False)
