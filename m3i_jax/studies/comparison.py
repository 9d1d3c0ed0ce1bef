"""What an ablation found, beside the paper's numbers: Markdown, rank correlation, a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax import plotting
from m3i_jax.build import ConfigError
from m3i_jax.evaluation.results import Result
from m3i_jax.studies.study import MEASURES, Case, Collected, Study
from m3i_jax.types import Array

COLUMNS = 3  # panels of a picture in a row
CAPTION = "Linear probes, forms in the paper's order"
FEWEST = 3  # cases with a rank correlation; of two it is 1 or -1
MARKS = ("<!-- table -->", "<!-- end -->")


def percents(results: Sequence[Result], metric: str) -> np.ndarray:
    """One number per seed that has it."""
    return np.array([100.0 * r.metrics[metric] for r in results if metric in r.metrics])


def mean_std(values: Array) -> tuple[float, float | None]:
    """Mean and sample standard deviation, (Σ(x − x̄)²/(n − 1))^½; None for a single value."""
    values = np.asarray(values, np.float64)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None


def ranks(values: Array) -> np.ndarray:
    """1 for the smallest; equal values share the mean of their ranks: (N,) -> (N,)."""
    values = np.asarray(values)
    below = (values[None] < values[:, None]).sum(1)
    equal = (values[None] == values[:, None]).sum(1)
    return below + (equal + 1) / 2


def spearman(x: Array, y: Array) -> float | None:
    """Rank correlation, Pearson's of the ranks; None where one of them does not vary."""
    x, y = (r - r.mean() for r in (ranks(x), ranks(y)))
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else None


def markdown(studies: Sequence[Study], measured: Collected) -> str:
    """One table per study, mean ± standard deviation over seeds in percent, and what they ran on.

    Rows without a run are left out; the baselines end every table.
    """
    parts = []
    for study in studies:
        cases = [case for case in study.cases if measured.cases[case.name]]
        if cases:
            rows = [_row(study, c.name, c.title, measured.cases[c.name], c.paper) for c in cases]
            for title, results in _baselines(study, measured).items():
                rows.append(_row(study, "", title, results))
            parts += [f"**{study.title}**", _table(study, rows)]
            parts += [_correlations(study, cases, measured)]
    return "\n\n".join(filter(None, [*parts, _protocol(measured)]))


def plot(studies: Sequence[Study], measured: Collected, path: str | Path) -> Path:
    """A panel per study, our linear probe over the paper's order of the cases; returns the path."""
    import matplotlib
    from matplotlib.figure import Figure

    studies = [s for s in studies if any(measured.cases[case.name] for case in s.cases)]
    columns = min(COLUMNS, len(studies))
    lines = -(-len(studies) // columns)
    with matplotlib.rc_context(plotting.STYLE):
        figure = Figure(figsize=(4.6 * columns + 0.4, 3.6 * lines), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for ax, study in zip(axes, studies, strict=False):
            _panel(ax, study, measured)
        for ax in axes[len(studies) :]:
            ax.remove()
        return plotting.save_figure(figure, path)


def paste(document: str, block: str) -> str:
    """The document with `block` in place of what is between its two marks.

    Raises:
      ConfigError: the document lacks the marks.
    """
    first, last = MARKS
    before, opened, rest = document.partition(first)
    _, closed, after = rest.partition(last)
    if not (opened and closed):
        raise ConfigError(
            f"the document has no lines '{first}' and '{last}' to put a table between"
        )
    return f"{before}{first}\n{block}\n{last}{after}"


def _baselines(study: Study, measured: Collected) -> dict[str, list[Result]]:
    """Title -> results of the untrained encoder and of raw pixels."""
    folder = study.cases[0].baselines
    titles = {"untrained": "the encoder untrained", "pixels": "raw pixels"}
    return {title: measured.baselines[folder, branch] for branch, title in titles.items()}


def _row(
    study: Study,
    name: str,
    title: str,
    results: Sequence[Result],
    paper: Sequence[Any] = (),
) -> list[str]:
    """Cells of one line, as `_table` heads them."""
    steps = " / ".join(str(n) for n in sorted({r.step for r in results}) if n)
    ours = [_cell(percents(results, metric)) for metric in study.measures.values()]
    theirs = [_reported(value) for value in paper] or [""] * len(study.paper)
    return [name.replace("_", ", "), title, steps, *ours, *theirs]


def _cell(values: np.ndarray) -> str:
    if not len(values):
        return "–"
    mean, std = mean_std(values)
    return f"{mean:.1f}" if std is None else f"{mean:.1f} ± {std:.1f}"


def _reported(value: float | str | None) -> str:
    """What the paper says, or a dash."""
    return f"{value:.1f}" if isinstance(value, float) else value or "–"


def _table(study: Study, rows: Sequence[Sequence[str]]) -> str:
    header = ("", "form", "steps", *study.measures, *study.paper)
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _correlations(study: Study, cases: Sequence[Case], measured: Collected) -> str:
    """A sentence: do our means rank the cases as the first column of the paper does?"""
    cases, said = [c for c in cases if c.paper and isinstance(c.paper[0], float)], []
    if len(cases) < FEWEST:
        return ""
    paper = [case.paper[0] for case in cases]
    for name, metric in study.measures.items():
        if name not in MEASURES:
            continue
        means = [percents(measured.cases[case.name], metric).mean() for case in cases]
        if (rho := spearman(means, paper)) is not None:
            said.append(f"{name} {rho:+.2f}")
    what = f"Rank correlation (Spearman) with the paper's ImageNet column, {len(cases)} forms"
    return f"{what}: {'; '.join(said) or 'not defined'}."


def _protocol(measured: Collected) -> str:
    """A sentence: what every number comes from."""
    runs = [results for results in measured.cases.values() if results]
    every = [result for results in runs for result in results]
    said = [f"Seeds per form: {span([len(results) for results in runs], 'd')}"]
    said.append(f"{span([r.protocol['tera'] for r in every], '.3f')} TFLOP per run")
    said.append(f"branch {every[0].branch}")
    said.append(f"probes fitted on {span([r.counts['train'] for r in every], 'd')} images")
    said.append(f"tested on {span([r.counts['test'] for r in every], 'd')}")
    said += sorted({f"jax {r.protocol['jax']} on {r.protocol['device']}" for r in every})
    return "; ".join(said) + "."


def span(values: Sequence[float], form: str) -> str:
    """The smallest and the largest, or the one that all are."""
    return " to ".join(dict.fromkeys(format(x, form) for x in (min(values), max(values))))


def _panel(ax, study: Study, measured: Collected) -> None:
    """Points with error bars in the paper's order, since accuracies of the paper lie too close."""
    (name, metric), *_ = study.measures.items()
    cases = [case for case in study.cases if measured.cases[case.name]]
    # In front what has words only (it diverged), at the end what is not reported.
    order = lambda value: value if isinstance(value, float) else 0.0 if value else 100.0  # noqa: E731
    cases.sort(key=lambda case: order(case.paper[0]))
    for place, case in enumerate(cases):
        mean, std = mean_std(percents(measured.cases[case.name], metric))
        ax.errorbar(place, mean, std, fmt="o", ms=4, color=plotting.PALETTE[0])
    theirs = (_reported(case.paper[0]) for case in cases)
    names = (case.name.replace("_", ",\n") for case in cases)
    ax.set_xticks(range(len(cases)), [f"{n}\n{t}" for n, t in zip(names, theirs, strict=True)])
    for title, results in _baselines(study, measured).items():
        if results:
            height, where = percents(results, metric).mean(), ("axes fraction", "data")
            ax.axhline(height, color="0.35", lw=1, ls=plotting.DASHES, zorder=1.9)
            style = dict(xycoords=where, textcoords="offset points", ha="right", color="0.25")
            ax.annotate(title.removeprefix("the encoder "), (1, height), (-2, 3), **style)
    ax.margins(0.08)
    ax.set_title(study.title, loc="left")
    ax.set(xlabel="form, ImageNet top-1 in the paper", ylabel=f"{name} (%)")
    ax.grid(axis="y")
