"""Findings as text: what a terminal shows of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax.analysis.finding import FOLDER, Finding, file


def table(finding: Finding, *, place: str | Path = "") -> str:
    """A finding as text: its numbers, block by block where it has blocks, and its pictures.

    place: folder or file of the findings, beside which the pictures are.

    attention distance of runs/mae on fashion_mnist, in pixels, 1000 images
    block     mean      min      max
        1    10.31     7.20    12.94
    """
    of = finding.model + (f" and {finding.other}" if finding.other else "")
    images = next(iter(finding.counts.values()), None)
    head = f"{finding.title} of {of} on {finding.data}"
    head += f", in {finding.unit}" * bool(finding.unit)
    head += f", {images} image{'s' * (images != 1)}" * (images is not None)
    rows = {"heads": _heads, "layers": _layers, "matrix": _matrix, "pictures": _numbers}
    lines = [head, *_aligned(rows[finding.form](finding))]
    folder = file(place).parent / FOLDER
    return "\n".join([*lines, *(f"{folder / name}: {what}" for what, name in finding.pictures)])


def _heads(finding: Finding) -> list[Sequence[Any]]:
    heads = [np.asarray(block, float) for block in finding.values["heads"]]
    each = zip(_names(finding), heads, strict=True)
    rows = [(name, *map(float, (x.mean(), x.min(), x.max()))) for name, x in each]
    return [("block", "mean", "min", "max"), *rows]


def _layers(finding: Finding) -> list[Sequence[Any]]:
    columns = finding.values.values()
    return [("block", *finding.values), *zip(_names(finding), *columns, strict=False)]


def _matrix(finding: Finding) -> list[Sequence[Any]]:
    rows = finding.values["matrix"]
    across = finding.labels.get("columns") or range(1, len(rows[0]) + 1)
    down = finding.labels.get("rows") or range(1, len(rows) + 1)
    return [("", *across), *((name, *row) for name, row in zip(down, rows, strict=True))]


def _numbers(finding: Finding) -> list[Sequence[Any]]:
    return [(name, x) for name, x in finding.values.items() if isinstance(x, int | float)]


def _names(finding: Finding) -> Sequence[Any]:
    """What the blocks are called; their numbers, from 1, where they have no names."""
    most = max((len(x) for x in finding.values.values() if isinstance(x, list)), default=0)
    return finding.labels.get("blocks") or range(1, most + 1)


def _aligned(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Columns of numbers with four digits, flush right."""
    cells = [[f"{x:.4g}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["   ".join(map(str.rjust, row, widths)) for row in cells]
