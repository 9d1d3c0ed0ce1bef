"""What an ablation found, beside the paper's numbers: Markdown, rank correlation, a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from m3i_jax import pictures
from m3i_jax.build import ConfigError
from m3i_jax.evaluation.ablation import Case, Found, Study
from m3i_jax.evaluation.report import Result
from m3i_jax.types import Array

MEASURES = {"linear probe": "eval/linear/top1", "kNN, k = 20": "eval/knn/top1_k20"}
HEADER = ("", "form", "steps", *MEASURES, "ImageNet, paper", "COCO, paper")
FEWEST = 3  # cases with a rank correlation; of two it is 1 or -1
MARKS = ("<!-- table -->", "<!-- end -->")


def percents(results: Sequence[Result], metric: str) -> np.ndarray:
    """One number per seed."""
    return np.array([100.0 * result.metrics[metric] for result in results])


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


def markdown(studies: Sequence[Study], found: Found) -> str:
    """One table per study, mean ± standard deviation over seeds in percent, and what they ran on.

    Rows without a run are left out; the baselines end every table.
    """
    parts = []
    for study in studies:
        cases = [case for case in study.cases if found.cases[case.name]]
        if cases:
            rows = [_row(case.name, case.title, found.cases[case.name], case) for case in cases]
            rows.append(_row("", "the encoder untrained", found.untrained))
            rows.append(_row("", "raw pixels", found.pixels))
            parts += [f"**{study.title}**", _table(rows)]
            parts += [_correlations(cases, found)] if len(cases) >= FEWEST else []
    return "\n\n".join([*parts, _protocol(found)])


def plot(studies: Sequence[Study], found: Found, path: str | Path) -> Path:
    """A panel per study, our linear probe over the paper's order of the cases; returns the path."""
    import matplotlib
    from matplotlib.figure import Figure

    studies = [s for s in studies if any(found.cases[case.name] for case in s.cases)]
    with matplotlib.rc_context(pictures.STYLE):
        figure = Figure(figsize=(4.6 * len(studies) + 0.4, 3.6), layout="constrained")
        axes = figure.subplots(1, len(studies), squeeze=False)[0]
        for ax, study in zip(axes, studies, strict=True):
            _panel(ax, study, found)
        figure.savefig(path, dpi=200, facecolor="white")
    return Path(path)


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


def _row(name: str, title: str, results: Sequence[Result], case: Case | None = None) -> list[str]:
    """Cells of one line, as `HEADER` names them."""
    steps = " / ".join(str(n) for n in sorted({r.step for r in results}) if n)
    ours = [_cell(percents(results, metric)) for metric in MEASURES.values()]
    paper = [f"{case.imagenet:.1f}", f"{case.coco:.1f}"] if case else ["", ""]
    return [name.replace("_", ", ") if name else "", title, steps, *ours, *paper]


def _cell(values: np.ndarray) -> str:
    if not len(values):
        return "–"
    mean, std = mean_std(values)
    return f"{mean:.1f}" if std is None else f"{mean:.1f} ± {std:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [HEADER, ("---",) * len(HEADER), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _correlations(cases: Sequence[Case], found: Found) -> str:
    """A sentence: do our means rank the cases as the paper's ImageNet column does?"""
    paper, said = [case.imagenet for case in cases], []
    for name, metric in MEASURES.items():
        means = [percents(found.cases[case.name], metric).mean() for case in cases]
        if (rho := spearman(means, paper)) is not None:
            said.append(f"{name} {rho:+.2f}")
    what = f"Rank correlation (Spearman) with the paper's ImageNet column, {len(cases)} forms"
    return f"{what}: {'; '.join(said) or 'not defined'}."


def _protocol(found: Found) -> str:
    """A sentence: what every number comes from."""
    runs = [results for results in found.cases.values() if results]
    every = [result for results in runs for result in results]
    said = [f"Seeds per form: {_span([len(results) for results in runs], 'd')}"]
    said.append(f"{_span([r.protocol['tera'] for r in every], '.3f')} TFLOP per run")
    said.append(f"branch {every[0].branch}")
    said.append(f"probes fitted on {_span([r.counts['train'] for r in every], 'd')} images")
    said.append(f"tested on {_span([r.counts['test'] for r in every], 'd')}")
    said += sorted({f"jax {r.protocol['jax']} on {r.protocol['device']}" for r in every})
    return "; ".join(said) + "."


def _span(values: Sequence[float], form: str) -> str:
    """The smallest and the largest, or the one that all are."""
    return " to ".join(dict.fromkeys(format(x, form) for x in (min(values), max(values))))


def _panel(ax, study: Study, found: Found) -> None:
    """Points with error bars in the paper's order, since accuracies of the paper lie too close."""
    metric = MEASURES["linear probe"]
    cases = sorted((c for c in study.cases if found.cases[c.name]), key=lambda c: c.imagenet)
    for place, case in enumerate(cases):
        mean, std = mean_std(percents(found.cases[case.name], metric))
        ax.errorbar(place, mean, std, fmt="o", ms=4, color=pictures.PALETTE[0])
    names = [case.name.replace("_", ",\n") + f"\n{case.imagenet:.1f}" for case in cases]
    ax.set_xticks(range(len(cases)), names)
    for name, results in (("untrained", found.untrained), ("raw pixels", found.pixels)):
        if results:
            height, where = percents(results, metric).mean(), ("axes fraction", "data")
            ax.axhline(height, color="0.35", lw=1, ls=pictures.DASHES, zorder=1.9)
            how = dict(xycoords=where, textcoords="offset points", ha="right", color="0.25")
            ax.annotate(name, (1, height), (-2, 3), **how)
    ax.margins(0.08)
    ax.set_title(study.title, loc="left")
    ax.set(xlabel="form, ImageNet top-1 in the paper", ylabel="linear probe (%)")
    ax.grid(axis="y")
