"""What a study of many methods found: a table for each kind of target, one picture of all."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from m3i_jax import plotting
from m3i_jax.evaluation.results import Result
from m3i_jax.studies import comparison
from m3i_jax.studies.study import Collected, Study

CAPTION = "Accuracy of every method, with intervals of 95 %, by what it predicts"
BASELINES = {"untrained": "untrained", "pixels": "raw pixels"}
SUPERVISED = "classification"
FEW = 12  # methods that are named, not only counted


class Number(NamedTuple):
    """A measure of a case in percent. ends: of one seed the interval, of several least and most."""

    value: float
    ends: tuple[float, float]


def number(results: Sequence[Result], metric: str) -> Number | None:
    """Of all seeds that have it; None where none has."""
    having = [result for result in results if metric in result.metrics]
    if not having:
        return None
    values = [100 * result.metrics[metric] for result in having]
    if len(having) > 1:
        return Number(float(np.mean(values)), (min(values), max(values)))
    low, high = having[0].intervals[metric]
    return Number(values[0], (100 * low, 100 * high))


def markdown(studies: Sequence[Study], measured: Collected) -> str:
    """What nothing was learned for, then a table for each kind of target, best probes first."""
    measures = studies[0].measures
    beside = [
        ["", title, "", "", *_cells(results, measures.values())]
        for title, results in _baselines(studies, measured)
    ]
    parts = ["**Beside them**", _table(measures, beside)]
    for study in studies:
        if cases := _measured(study, measured):
            rows = [_row(study, case, measured.cases[case.name]) for case in cases]
            parts += [f"**{study.title}**", _table(measures, rows)]
    parts += [*_missing(studies, measured), _protocol(measured)]
    return "\n\n".join([*parts, "**Intervals that do not meet**", _apart(studies, measured)])


def _row(study: Study, case, results: Sequence[Result]) -> list[str]:
    steps = " / ".join(str(n) for n in sorted({result.step for result in results}))
    images = results[0].step * case.config.batch
    cells = _cells(results, study.measures.values())
    return [f"`{case.name}`", case.title, steps, f"{images}", *cells]


def _cells(results: Sequence[Result], metrics) -> list[str]:
    found = (number(results, metric) for metric in metrics)
    return [f"{n.value:.1f} ({n.ends[0]:.1f}–{n.ends[1]:.1f})" if n else "–" for n in found]


def _table(measures, rows: Sequence[Sequence[str]]) -> str:
    header = ("method", "is told", "steps", "images", *measures)
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _measured(study: Study, measured: Collected) -> list:
    """The cases that have results, the best by the first measure first."""
    first = next(iter(study.measures.values()))
    there = [case for case in study.cases if measured.cases[case.name]]
    return sorted(there, key=lambda case: -number(measured.cases[case.name], first).value)


def _apart(studies: Sequence[Study], measured: Collected) -> str:
    """For each measure how many are wholly above and below what stands beside, the fewer by name.

    Intervals that meet leave it open; those that do not are no test, but a stricter one than 5 %.
    """
    header = ("measure", "beside", "above", "below", "open")
    lines = [header, ("---",) * len(header)]
    for title, metric in studies[0].measures.items():
        for other, results in _beside(studies, measured).items():
            if line := number(results, metric):
                lines.append((title, other, *_sides(line, _numbers(studies, measured, metric))))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _numbers(studies: Sequence[Study], measured: Collected, metric: str) -> dict[str, Number]:
    """By method, the best first."""
    of = {
        case.name: n
        for study in studies
        for case in study.cases
        if (n := number(measured.cases[case.name], metric))
    }
    return dict(sorted(of.items(), key=lambda item: -item[1].value))


def _sides(line: Number, of: Mapping[str, Number]) -> tuple[str, str, str]:
    """Above, below and neither: how many, and who where they are few."""
    above = [name for name, n in of.items() if n.ends[0] > line.ends[1]]
    below = [name for name, n in of.items() if n.ends[1] < line.ends[0]]

    def said(names: Sequence[str]) -> str:
        who = f": {', '.join(f'`{name}`' for name in names)}" if 0 < len(names) <= FEW else ""
        return f"{len(names)}{who}"

    return said(above), said(below), str(len(of) - len(above) - len(below))


def _missing(studies: Sequence[Study], measured: Collected) -> Iterator[str]:
    """A sentence on the cases that have no results."""
    names = [f"`{c.name}`" for study in studies for c in study.cases if not measured.cases[c.name]]
    if names:
        yield f"Not run yet, or failed: {', '.join(names)}."


def _baselines(
    studies: Sequence[Study], measured: Collected
) -> Iterator[tuple[str, Sequence[Result]]]:
    folder = studies[0].cases[0].baselines
    for branch, title in BASELINES.items():
        yield title, measured.baselines[folder, branch]


def _protocol(measured: Collected) -> str:
    """A sentence: what every number comes from."""
    every = [result for results in measured.cases.values() for result in results]
    counts = [len(results) for results in measured.cases.values() if results]
    span = comparison.span
    said = [f"{len(counts)} methods, seeds of each: {span(counts, 'd')}"]
    said.append(f"{span([r.protocol['tera'] for r in every], '.3f')} TFLOP a run")
    said.append(f"branch {every[0].branch}")
    said.append(f"probes fitted on {span([r.counts['train'] for r in every], 'd')} images")
    said.append(f"tested on {span([r.counts['test'] for r in every], 'd')}")
    said.append("in brackets the interval of 95 % of one seed, or least and most of several")
    return "; ".join(said) + "."


def plot(studies: Sequence[Study], measured: Collected, path: str | Path) -> Path:
    """A panel for each measure, a line for each method, grouped; returns the path."""
    import matplotlib
    from matplotlib.figure import Figure

    studies = [study for study in studies if _measured(study, measured)]
    measures = studies[0].measures
    lines = sum(len(_measured(study, measured)) + 1 for study in studies)
    with matplotlib.rc_context(plotting.STYLE):
        figure = Figure(figsize=(4 + 2.8 * len(measures), 1.2 + 0.19 * lines), layout="constrained")
        axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for ax, (title, metric) in zip(axes, measures.items(), strict=True):
            _panel(ax, studies, measured, metric)
            ax.set_title(title, loc="left")
            ax.set_xlabel("right answers, %")
        _name_rows(axes[0], studies, measured)
        return plotting.save_figure(figure, path)


def _rows(studies: Sequence[Study], measured: Collected) -> Iterator[tuple[int, int, str]]:
    """(place, number of the study, name of the case or "" of its heading), from above."""
    place = 0
    for i, study in enumerate(studies):
        for name in ("", *(case.name for case in _measured(study, measured))):
            yield place, i, name
            place += 1


def _beside(studies: Sequence[Study], measured: Collected) -> dict[str, Sequence[Result]]:
    """What the methods stand beside: the encoder untrained, raw pixels, training by labels."""
    of = dict(_baselines(studies, measured))
    return {**of, "supervised": measured.cases.get(SUPERVISED, [])}


def _panel(ax, studies: Sequence[Study], measured: Collected, metric: str) -> None:
    """Points with intervals, and a line down for each thing that stands beside them."""
    for place, i, name in _rows(studies, measured):
        if name and (n := number(measured.cases[name], metric)):
            error = [[n.value - n.ends[0]], [n.ends[1] - n.value]]
            color = plotting.PALETTE[i % len(plotting.PALETTE)]
            ax.errorbar(n.value, place, xerr=error, fmt="o", ms=3.5, lw=1, color=color)
    for title, results in _beside(studies, measured).items():
        if n := number(results, metric):
            ax.axvline(n.value, color="0.35", lw=1, ls=plotting.DASHES, zorder=1.9)
            style = dict(rotation=90, va="top", ha="right", color="0.35", fontsize=7)
            ax.annotate(title, (n.value, 1), (-1, -2), xycoords=("data", "axes fraction"),
                        textcoords="offset points", **style)  # fmt: skip
    ax.grid(axis="x")


def _name_rows(ax, studies: Sequence[Study], measured: Collected) -> None:
    """Names of methods beside their lines, and of groups, in bold, above them."""
    rows = list(_rows(studies, measured))
    names = [name or studies[i].title for _, i, name in rows]
    ax.set_yticks([place for place, *_ in rows], names)
    for label, (_, _, name) in zip(ax.get_yticklabels(), rows, strict=True):
        label.set(fontsize=7.5, color="0.15", weight="normal" if name else "bold")
    ax.set_ylim(len(rows) - 0.4, -2.6)
