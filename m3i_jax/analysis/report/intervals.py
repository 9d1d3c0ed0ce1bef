"""What evaluations found, as SVG: a dot for each model, a line for its interval of 95 %."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from m3i_jax.analysis.report import frame
from m3i_jax.analysis.report.frame import Drawn
from m3i_jax.analysis.report.markup import clean, element
from m3i_jax.analysis.report.scale import Scale, number, spanning, tick, ticks

ROW, WIDTH = 34, 340
LETTERS = 46  # of a name above its row


class Measured(NamedTuple):
    """A number of a model; ends: of its interval, () where there is none."""

    model: str
    tone: str
    value: float
    ends: Sequence[float] = ()
    best: bool = False


def draw(rows: Sequence[Measured], *, title: str, unit: str, number_of: int) -> Drawn:
    """A row for each model on one axis."""
    of = frame.box(WIDTH, ROW * len(rows) + 34, left=8, right=54, bottom=22)
    ends = [x for row in rows for x in (row.value, *row.ends)]
    x = spanning(np.asarray(ends), start=of.left + 6, end=of.right, linear=True)
    along = ticks(x, most=4)
    grid = [
        element(
            "g",
            frame.line(x(value), of.top, x(value), of.bottom, class_="grid"),
            frame.text(x(value), of.bottom + 14, tick(value, along, unit=unit)),
        )
        for value in along
    ]
    marks = [_row(row, x, of.top + ROW * i, of.right, unit) for i, row in enumerate(rows)]
    said = "; ".join(f"{row.model}: {_said(row, unit)}" for row in rows)
    label = f"{title}. {said}."
    drawn = frame.drawing(of, *grid, *marks, label=label, data_kind="marks", data_chart=number_of)
    script = [
        [
            round(float(x(row.value)), 1),
            of.top + ROW * i + 23,
            f"{clean(row.model)}: {_said(row, unit)}",
        ]
        for i, row in enumerate(rows)
    ]
    caption = element("figcaption", element("h4", title))
    return Drawn(element("figure", caption, drawn, class_="card"), {"marks": script})


def _row(row: Measured, x: Scale, top: float, right: float, unit: str):
    """Name, interval, dot, number."""
    middle = top + 23
    return element(
        "g",
        frame.text(
            8,
            top + 12,
            frame.cut(clean(row.model), LETTERS * frame.LETTER),
            anchor="start",
            class_="label",
        ),
        frame.line(x(row.ends[0]), middle, x(row.ends[1]), middle, class_=f"whisker {row.tone}")
        if row.ends
        else None,
        element(
            "circle", cx=frame.at(x(row.value)), cy=frame.at(middle), r=4, class_=f"dot {row.tone}"
        ),
        frame.text(
            WIDTH - 4,
            middle + 4,
            number(row.value, unit=unit),
            anchor="end",
            class_="label strong" if row.best else "label",
        ),
        data_model=row.tone,
    )


def _said(row: Measured, unit: str) -> str:
    value = number(row.value, unit=unit)
    if not row.ends:
        return value
    low, high = (number(end, unit=unit) for end in row.ends)
    return f"{value} (95 %: {low} to {high})"
