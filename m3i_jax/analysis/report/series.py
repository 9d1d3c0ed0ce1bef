"""Metrics of runs as charts: which belong together, what they are called, how they are smoothed."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from m3i_jax.analysis.report import wording
from m3i_jax.analysis.report.material import Run
from m3i_jax.analysis.report.scale import LARGEST
from m3i_jax.training import health
from m3i_jax.types import Array

POINTS = 18_000  # of all lines of a page together
MOST, LEAST = 240, 30  # of one line
CHARTS = 150  # of a page; more metrics than any method has
SMOOTH = 0.02  # time constant of the mean, as a share of the steps that a chart shows
STEADY = r"(probe|validation|ema|monitor)/.*|optim/(lr|skipped)|health/alarm"  # not smoothed


class Line(NamedTuple):
    """One metric of one run.

    model: number of the run, which is its colour.  branch: "ema", "online", or "" of neither.
    steps: ascending.  values: finite.  lost: how many were not.
    first, low, high, last: (step, value) among all, drawn or not.
    """

    metric: str
    model: int
    branch: str
    steps: Int[np.ndarray, " points"]
    values: Float[np.ndarray, " points"]
    lost: int
    first: tuple[int, float]
    low: tuple[int, float]
    high: tuple[int, float]
    last: tuple[int, float]


class Chart(NamedTuple):
    """Lines that share their axes.

    name: of the metric, without its branch.  title: in words.  unit: "share", or "" as it is.
    limit: value below which a target has collapsed, None where there is none.
    """

    name: str
    title: str
    unit: str
    lines: Sequence[Line]
    limit: float | None = None

    @property
    def smoothed(self) -> bool:
        """Whether its lines are drawn as means over a few values."""
        return not re.fullmatch(STEADY, self.name, re.DOTALL)

    @property
    def linear(self) -> bool:
        """Whether its values are never shown by their logarithms."""
        return bool(self.unit) or self.name == "optim/lr"


class Family(NamedTuple):
    """Charts under one heading.

    said: how to read them.  charts: those that one looks at first.  more: the rest.
    """

    title: str
    said: str
    charts: Sequence[Chart]
    more: Sequence[Chart]


def families(runs: Sequence[Run]) -> list[Family]:
    """All metrics of runs as charts, in the order in which they are read."""
    metrics = dict.fromkeys(name for run in runs for line in run.metrics for name in line)
    metrics.pop("step", None)
    most = max(LEAST, min(MOST, POINTS // max(1, len(metrics) * len(runs))))
    charts = _charts(runs, sorted(metrics, key=_order), most)[:CHARTS]
    filled = []
    for kind in wording.KINDS:
        belong = lambda chart, p: re.fullmatch(p, chart.name, re.DOTALL)  # noqa: E731
        first = [chart for chart in charts if belong(chart, kind.first)]
        more = [c for c in charts if c not in first and belong(c, kind.rest)]
        charts = [chart for chart in charts if chart not in first and chart not in more]
        if first or more:
            filled.append(Family(kind.title, kind.said, first, more))
    return filled


def _charts(runs: Sequence[Run], metrics: Iterable[str], most: int) -> list[Chart]:
    """A chart for every metric; those of two branches share one."""
    lines: dict[str, list[Line]] = {}
    for metric in metrics:
        base, branch = wording.parted(metric)
        for model, run in enumerate(runs):
            line = _line(run.metrics, metric, model, branch, most)
            if line is not None:
                lines.setdefault(base, []).append(line)
    said = lambda name: (name, wording.title(name), wording.unit(name))  # noqa: E731
    return [Chart(*said(name), of, _limit(name)) for name, of in lines.items()]


def _limit(name: str) -> float | None:
    limits = health.LIMITS.get(name.rpartition("/")[2]) if name.startswith("health/") else None
    return limits[0] if limits else None


def _order(metric: str) -> tuple:
    """The loss of all terms first, then by name; the moving average before the online network."""
    base, branch = wording.parted(metric)
    return metric != "train/loss", base, branch


def _line(
    metrics: Sequence[dict[str, Any]], name: str, model: int, branch: str, most: int
) -> Line | None:
    """A metric of a run; None where it has no finite value. Of equal steps the last one counts."""
    values = {line["step"]: line[name] for line in metrics if _is_number(line.get(name))}
    finite = {step: float(x) for step, x in values.items() if abs(x) < LARGEST}  # and no NaN
    if not finite:
        return None
    points = sorted(finite.items())
    low, high = (pick(points, key=lambda point: point[1]) for pick in (min, max))
    steps, drawn = zip(*sampled(points, most), strict=True)
    ends = (points[0], low, high, points[-1])
    lost = len(values) - len(finite)
    return Line(name, model, branch, np.asarray(steps), np.asarray(drawn), lost, *ends)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def sampled(points: Sequence[Any], most: int) -> list[Any]:
    """`most` points or a few more, evenly by their number, the first and the last among them.

    Every one is a point of the file: nothing is averaged.
    """
    if len(points) <= most:
        return list(points)
    chosen = np.linspace(0, len(points) - 1, most).round().astype(int)
    return [points[i] for i in dict.fromkeys(chosen.tolist())]


def smooth(
    steps: Int[Array, " points"], values: Float[Array, " points"], *, constant: float
) -> Float[np.ndarray, " points"]:
    """Mean over the past, whose weights fall off with the steps that lie between.

        s_i = Σ_{j≤i} w_ij y_j / Σ_{j≤i} w_ij,   w_ij = exp(−(t_i − t_j)/constant)

    steps: t, ascending.  values: y.  constant: in steps; 0 leaves the values as they are.
    """
    values = np.asarray(values, np.float64)
    if constant <= 0:
        return values
    keep = np.exp(-np.diff(np.asarray(steps, np.float64)) / constant)
    total, weight, means = values[0], 1.0, [values[0]]
    for share, value in zip(keep, values[1:], strict=True):
        total, weight = share * total + value, share * weight + 1.0
        means.append(total / weight)
    return np.asarray(means)
