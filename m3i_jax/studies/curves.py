"""What was found of encoders cut behind a block: a table and a picture over the blocks."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from m3i_jax import plotting
from m3i_jax.evaluation.results import Result, is_share
from m3i_jax.evaluation.tasks import Task, written
from m3i_jax.studies.cuts import Point


def markdown(points: Sequence[Point]) -> str:
    """A table for each task: a row for each number of blocks, a column for each curve.

    Of several draws their mean, their standard deviation, and in brackets the least and the most.
    """
    parts = []
    for name, task in _tasks(points).items():
        of = [point for point in points if written(point.task) == name]
        lines = [("blocks", *_curves(of))]
        lines.append(("---",) * len(lines[0]))
        for count in sorted({point.cut.blocks for point in of}):
            said = _percents if is_share(task.metric) else _digits
            cells = (_cell(values(of, curve, count), said) for curve in _curves(of))
            lines.append((str(count), *cells))
        unit = ", %" if is_share(task.metric) else f", {task.unit}" if task.unit else ""
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"**{task.title}{unit}**\n\n{body}")
    return "\n\n".join([*parts, _protocol([point.result for point in points])])


def plot(points: Sequence[Point], path: str | Path, *, title: str = "") -> Path:
    """A panel for each task: means over the number of blocks, the range of draws shaded."""
    import matplotlib
    from matplotlib.figure import Figure

    tasks = _tasks(points)
    with matplotlib.rc_context(plotting.STYLE):
        figure = Figure(figsize=(4.6 * len(tasks) + 0.4, 3.3), layout="constrained")
        panels = figure.subplots(1, len(tasks), squeeze=False)[0]
        for ax, (name, task) in zip(panels, tasks.items(), strict=True):
            of = [point for point in points if written(point.task) == name]
            for number, curve in enumerate(_curves(of)):
                colour = plotting.PALETTE[number % len(plotting.PALETTE)]
                counts = sorted({p.cut.blocks for p in of if p.cut.curve == curve})
                each = [values(of, curve, count) for count in counts]
                means = [draws.mean() for draws in each]
                ax.plot(counts, means, "o-", ms=4, lw=1.6, color=colour, label=curve)
                if any(len(draws) > 1 for draws in each):
                    ends = [(draws.min(), draws.max()) for draws in each]
                    ax.fill_between(
                        counts, *zip(*ends, strict=True), color=colour, alpha=0.15, lw=0
                    )
            ax.set_title(task.title + " (%)" * is_share(task.metric), loc="left")
            ax.set_xlabel("blocks")
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.grid(axis="y")
            ax.legend(frameon=False)
        return plotting.save_figure(figure, path, title=title)


def values(points: Sequence[Point], curve: str, count: int) -> np.ndarray:
    """The headlines of all draws of a curve at a number of blocks; shares in percent."""
    of = [p for p in points if p.cut.curve == curve and p.cut.blocks == count]
    metrics = [(p.task.metric, p.result.metrics.get(p.task.metric)) for p in of]
    return np.array([x * 100 if is_share(m) else x for m, x in metrics if x is not None])


def _tasks(points: Sequence[Point]) -> dict[str, Task]:
    return {written(point.task): point.task for point in points}


def _curves(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(point.cut.curve for point in points))


def _cell(draws: np.ndarray, said: Callable[[float], str]) -> str:
    if not len(draws):
        return "–"
    if len(draws) == 1:
        return said(draws[0])
    mean, deviation, least, most = (
        said(x) for x in (draws.mean(), draws.std(ddof=1), draws.min(), draws.max())
    )
    return f"{mean} ± {deviation} ({least}–{most})"


def _percents(number: float) -> str:
    return f"{number:.1f}"


def _digits(number: float) -> str:
    """A measure that has a unit: metres differ by hundredths."""
    return f"{number:.3g}"


def _protocol(results: Sequence[Result]) -> str:
    """A sentence: what every number comes from."""
    data = ", ".join(sorted({r.data for r in results}))
    # What heads of dense tasks are trained on is in their protocol: not all of it may be read.
    learnt = lambda r: r.counts.get("train", r.protocol.get("train", 0))  # noqa: E731
    rows = sorted({(learnt(r), r.counts.get("test", 0)) for r in results})
    counts = "; ".join(f"{train} training and {test} test images" for train, test in rows)
    platforms = sorted({f"jax {r.versions['jax']} on {r.versions['device']}" for r in results})
    return f"{data}: {counts}; {'; '.join(platforms)}."
