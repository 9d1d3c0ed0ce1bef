"""Figures 1 to 10 of the Dark Secrets' supplement, of any models: panels side by side.

Small dots are heads (or channels of kernels), large dots the means of blocks; Figure 7 has tables
of CKA. Xie et al. 2023, Revealing the Dark Secrets of Masked Image Modeling, supplementary Figures
1 to 10, https://arxiv.org/abs/2205.13543.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import plotting
from m3i_jax.analysis.finding import Finding
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models
from m3i_jax.evaluation.models import Model

WIDTH, HEIGHT = 2.5, 2.6  # of a panel, in inches
MOST, COLUMNS = 5, 4  # panels in one row; in each of several, as in the paper's figures of eight
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPREAD = 0.18  # to either side of a block, over which the dots of its heads are drawn


class Figure(NamedTuple):
    """A figure of the paper.

    measure: that it shows, as a command line says it.
    encoder: what the paper shows it of.
    axis: what is on the vertical axis, in words.
    """

    measure: str
    encoder: str
    axis: str


DISTANCE, ENTROPY, DIVERGENCE = "attention distance (pixels)", "entropy (nats)", "KL (nats)"
FIGURES = {
    1: Figure("attention_distance", "ViT", DISTANCE),
    2: Figure("attention_entropy", "ViT", ENTROPY),
    3: Figure("head_divergence", "ViT", DIVERGENCE),
    4: Figure("attention_distance", "SwinV2", DISTANCE),
    5: Figure("attention_entropy", "SwinV2", ENTROPY),
    6: Figure("head_divergence", "SwinV2", DIVERGENCE),
    7: Figure("cka", "SwinV2", "block"),
    8: Figure("kernel_distance", "RepLKNet", "aggregated distance (pixels)"),
    9: Figure("kernel_entropy", "RepLKNet", ENTROPY),
    10: Figure("kernel_divergence", "RepLKNet", DIVERGENCE),
}


def numbers(model: Model) -> list[int]:
    """The figures of the encoder of a model.

    Raises:
      ConfigError: there are none.
    """
    kind = type(models.module(model)).__name__
    own = [number for number, figure in FIGURES.items() if figure.encoder == kind]
    if not own:
        kinds = ", ".join(dict.fromkeys(figure.encoder for figure in FIGURES.values()))
        raise ConfigError(f"{model.name} is a {kind}; the figures are of {kinds}: say --figure")
    return own


def written(
    by_title: Mapping[str, Sequence[Finding]], folder: str | Path, *, numbers: Sequence[int] = ()
) -> list[Path]:
    """Draws the figures that findings are there for, as `figure_N.png` and `figure_N.svg`.

    Args:
      by_title: title -> findings of a model.  folder: made if needed.
      numbers: which figures; () = all.
    """
    folder, paths = Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers or FIGURES:
        measure, _, axis = FIGURES[number]
        panels = {
            title: alike
            for title, findings in by_title.items()
            if (alike := [f for f in findings if f.measure == measure and not f.other])
        }
        if panels:
            names = [folder / f"figure_{number}.{form}" for form in ("png", "svg")]
            paths += draw(panels, axis, *names)
    return paths


def draw(panels: Mapping[str, Sequence[Finding]], axis: str, *paths: str | Path) -> list[Path]:
    """Draws what one measure found of each model, and writes it in every form that is asked for.

    Args:
      panels: title -> findings of one model; of several, such as its seeds, the dots of all, and
        the mean over them.
      axis: what is on the vertical axis.
      paths: .png, .svg or .pdf.

    Returns:
      The paths.

    Raises:
      ValueError: nothing to draw, or findings of another form than those of heads and tables.
    """
    forms = {finding.form for findings in panels.values() for finding in findings}
    if len(forms) != 1 or not forms <= {"heads", "matrix", "layers"}:
        raise ValueError(f"findings of the forms {sorted(forms)} are no figure")
    import matplotlib
    from matplotlib.figure import Figure as Drawing

    columns = len(panels) if len(panels) <= MOST else COLUMNS
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(plotting.STYLE | {"svg.fonttype": "none"}):
        size = (WIDTH * columns + 0.6, HEIGHT * rows)
        drawing = Drawing(figsize=size, layout="constrained")
        axes = drawing.subplots(rows, columns, squeeze=False, sharey=True)
        for ax in axes.ravel()[len(panels) :]:
            ax.remove()
        panel = {"heads": _heads, "layers": _layers, "matrix": _matrix}[forms.pop()]
        for ax, letter, (title, findings) in zip(
            axes.ravel(), LETTERS, panels.items(), strict=False
        ):
            drawn = panel(ax, findings)
            ax.set_title(f"({letter}) {title}", loc="left")
        for ax in axes.ravel()[max(0, len(panels) - columns) : len(panels)]:
            ax.set_xlabel("block")
        for ax in axes[:, 0]:
            ax.set_ylabel(axis)
        if drawn is not None:
            drawing.colorbar(drawn, ax=axes.ravel()[: len(panels)].tolist(), label="CKA")
        return [plotting.save_figure(drawing, path) for path in paths]


def _heads(ax, findings: Sequence[Finding]) -> None:
    """Small dots of heads, large dots of the means of blocks."""
    blocks = [[row[number] for row in _rows(findings, "heads")] for number in _numbers(findings)]
    for place, of in enumerate(blocks, 1):
        dots = np.concatenate([np.asarray(row, float) for row in of])
        # Side by side in the order of the heads, so that dots of equal height are seen.
        beside = np.linspace(-SPREAD, SPREAD, len(dots)) if len(dots) > 1 else np.zeros(1)
        style = dict(s=6, color=plotting.PALETTE[0], alpha=0.45, lw=0)
        ax.scatter(place + beside, dots, **style, rasterized=len(dots) > 100)
    means = np.mean([_means(finding) for finding in findings], axis=0)
    ax.plot(range(1, len(means) + 1), means, "o-", color=plotting.PALETTE[1], ms=5.5, lw=0.8)
    ax.set_axisbelow(True)  # no line of the grid cuts a dot
    ax.grid(axis="y")
    ax.xaxis.get_major_locator().set_params(integer=True)


def _layers(ax, findings: Sequence[Finding]) -> None:
    """A line for each name, the range of the findings shaded."""
    for number, name in enumerate(findings[0].values):
        rows = np.array(_rows(findings, name), float)
        places, colour = range(1, rows.shape[1] + 1), plotting.PALETTE[number]
        ax.plot(places, rows.mean(0), "o-", ms=3.5, lw=1.2, color=colour, label=name)
        if len(rows) > 1:
            ax.fill_between(places, rows.min(0), rows.max(0), color=colour, alpha=0.15, lw=0)
    ax.legend(frameon=False, fontsize=7)
    ax.grid(axis="y")
    ax.xaxis.get_major_locator().set_params(integer=True)


def _matrix(ax, findings: Sequence[Finding]) -> Any:
    """The mean table, from 0 to 1, the first block below."""
    table = np.mean(_rows(findings, "matrix"), axis=0)
    rows, columns = table.shape
    extent = (0.5, columns + 0.5, 0.5, rows + 0.5)
    style = dict(origin="lower", vmin=0.0, vmax=1.0, cmap="magma", aspect="auto")
    drawn = ax.imshow(table, extent=extent, interpolation="nearest", **style)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    return drawn


def _rows(findings: Sequence[Finding], name: str) -> list[Any]:
    return [finding.values[name] for finding in findings]


def _numbers(findings: Sequence[Finding]) -> range:
    """The blocks, which all findings of a panel must have alike."""
    counts = {len(row) for row in _rows(findings, "heads")}
    if len(counts) != 1:
        raise ValueError(f"a panel has findings of {sorted(counts)} blocks")
    return range(counts.pop())


def _means(finding: Finding) -> list[float]:
    """Of each block, as it was found, or of its heads."""
    if "mean" in finding.values:
        return [*finding.values["mean"]]
    return [float(np.mean(row)) for row in finding.values["heads"]]
