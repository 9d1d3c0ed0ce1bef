"""What was found block by block, as SVG: dots of heads and their mean, or lines of models."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from m3i_jax.analysis.report import frame
from m3i_jax.analysis.report.curves import path
from m3i_jax.analysis.report.frame import Box, Drawn
from m3i_jax.analysis.report.markup import Markup, clean, element
from m3i_jax.analysis.report.scale import Scale, measured, number, spanning

WIDTH, HEIGHT = 340, 210
FEW = 4  # blocks that have their names under them; of more, the numbers
LABEL = 104


class Heads(NamedTuple):
    """What was found of one model, a number for each head of each block.

    model: its name.  tone: class of its colour.  blocks: what these are called.
    heads: of each block, numbers; low, high: ends of their intervals, () where there are none.
    means: of each block.  what: a number is of, a "head" or a "pair" of them.
    """

    model: str
    tone: str
    blocks: Sequence[str]
    heads: Sequence[Sequence[float]]
    low: Sequence[Sequence[float]] = ()
    high: Sequence[Sequence[float]] = ()
    means: Sequence[float] = ()
    what: str = "head"


class Layers(NamedTuple):
    """The same with one number for each block; low, high: () where there are none."""

    model: str
    tone: str
    blocks: Sequence[str]
    values: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def heads(
    panels: Sequence[Heads], *, title: str, unit: str, number_of: int, others: bool = True
) -> list[Drawn]:
    """A drawing for each model, on axes that they share; faint, the means of the others.

    number_of: of the first drawing in the page.
    """
    ends = [x for of in panels for rows in (of.heads, of.low, of.high) for row in rows for x in row]
    of = frame.box(WIDTH, HEIGHT, left=44)
    y = spanning(np.asarray(ends), start=of.bottom, end=of.top, linear=True)
    x = blocks(of, max(len(panel.heads) for panel in panels))
    return [
        _panel(panel, panels if others else (), x, y, of, title, unit, number_of + i)
        for i, panel in enumerate(panels)
    ]


def layers(lines: Sequence[Layers], *, title: str, unit: str, number_of: int) -> Drawn:
    """One drawing with a line for each model, named at its end."""
    called = _called([line.model for line in lines])
    room = min(LABEL, max(frame.LETTER * len(name) + 8 for name in called))
    room = room if len(lines) > 1 else 0
    of = frame.box(WIDTH, HEIGHT, left=44, right=12 + room)
    ends = [x for line in lines for row in (line.values, line.low, line.high) for x in row]
    y = spanning(np.asarray(ends), start=of.bottom, end=of.top, linear=True)
    x = blocks(of, max(len(line.values) for line in lines))
    strokes = [_stroke(line, x, y) for line in lines]
    lasts = [float(y(line.values[-1])) for line in lines]
    heights = frame.apart(lasts, least=frame.LINE, low=of.top + 4, high=of.bottom)
    names = [
        frame.text(
            float(x(len(line.values))) + 6,
            height + 3.5,
            frame.cut(clean(name), room),
            anchor="start",
            class_="label",
            data_model=line.tone,
        )
        for line, name, height in zip(lines, called, heights, strict=True)
        if room
    ]
    said = "; ".join(f"{line.model}: {_ends(line.values, line.blocks, unit)}" for line in lines)
    inside = (frame.axes(of, x, y, unit=unit, name="block"), *strokes, *names)
    label = f"{title}, block by block. {said}."
    drawn = frame.drawing(of, *inside, label=label, data_kind="marks", data_chart=number_of)
    columns = {line.model: dict(zip(line.blocks, line.values, strict=True)) for line in lines}
    script = [
        [*_place(x(i), y(value)), _said(line, i - 1, unit)]
        for line in lines
        for i, value in enumerate(line.values, 1)
    ]
    figure = _figure(title, unit, drawn, table(columns, title, unit))
    return Drawn(figure, {"marks": script})


def _called(names: Sequence[str]) -> Sequence[str]:
    """Names without the step and the branch, where these are those of all and the rest differs."""
    parts = [name.partition("@") for name in names]
    short, rests = [first for first, _, _ in parts], {rest for _, _, rest in parts if rest}
    return short if len(rests) == 1 and len({*short}) == len(names) else names


def blocks(of: Box, count: int) -> Scale:
    """An axis of the blocks 1 … count, with half a block of room at both ends."""
    return Scale(0.5, count + 0.5, of.left, of.right)


def table(columns: Mapping[str, Mapping[str, float]], title: str, unit: str) -> Markup:
    """A table of numbers by block and by column."""
    rows = list(dict.fromkeys(name for column in columns.values() for name in column))
    value = lambda of, name: number(of[name], unit=unit) if name in of else "–"  # noqa: E731
    body = [
        element(
            "tr",
            element("th", name, scope="row"),
            *(element("td", value(column, name)) for column in columns.values()),
        )
        for name in rows
    ]
    head = [element("th", name, scope="col") for name in ("block", *columns)]
    inside = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    summary = element("summary", "Values ", element("span", f"of {title}", class_="unseen"))
    return element("details", summary, element("div", inside, class_="scroll"), class_="values")


def _panel(panel, panels, x: Scale, y: Scale, of: Box, title: str, unit: str, number_of: int):
    """One model: dots of its heads, the line of its means, and those of the others."""
    others = [
        element("path", d=_means(other, x, y), class_="other", data_model=other.tone)
        for other in panels
        if other is not panel
    ]
    places = [(x(block), y(v)) for block, row in enumerate(panel.heads, 1) for v in row]
    dots = Markup("".join(f"M{frame.at(a)} {frame.at(b)}h0" for a, b in places))
    mean = element("path", d=_means(panel, x, y), class_=f"line {panel.tone}")
    inside = (
        frame.axes(of, x, y, unit=unit, name="block"),
        *others,
        element("path", d=dots, class_=f"dots {panel.tone}"),
        mean,
    )
    course = _ends(means(panel), panel.blocks, unit)
    label = f"{title} of {panel.model}: {panel.what}s by block. Mean: {course}."
    drawn = frame.drawing(of, *inside, label=label, data_kind="heads", data_chart=number_of)
    figure = _figure(panel.model, unit, drawn, _values(panel, title, unit), tone=panel.tone)
    script = {
        "x": [x.low, x.high, x.start, x.end],
        "y": [y.low, y.high, y.start, y.end, 0],
        "unit": clean(unit),
        "what": panel.what,
        "blocks": [clean(name) for name in panel.blocks],
        "heads": _short(panel.heads),
        "low": _short(panel.low),
        "high": _short(panel.high),
    }
    return Drawn(figure, script)


def _values(panel: Heads, title: str, unit: str) -> Markup:
    """Every head and their mean."""
    count = max(len(row) for row in panel.heads)
    columns = {"mean": dict(zip(panel.blocks, means(panel), strict=True))}
    for head in range(count):
        rows = zip(panel.blocks, panel.heads, strict=True)
        columns[f"{panel.what} {head + 1}"] = {
            name: row[head] for name, row in rows if head < len(row)
        }
    return table(columns, f"{title} of {panel.model}", unit)


def _short(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Numbers with the digits that the script says."""
    return [[float(f"{value:.5g}") for value in row] for row in rows]


def means(panel: Heads) -> list[float]:
    """Of each block, as they were found, or of its heads."""
    return [*panel.means] or [float(np.mean(row)) for row in panel.heads]


def _means(panel: Heads, x: Scale, y: Scale) -> str:
    return path(np.arange(1, len(panel.heads) + 1), np.asarray(means(panel)), x, y)


def _stroke(line: Layers, x: Scale, y: Scale) -> Markup:
    """The line of a model, with a dot and perhaps an interval at each block."""
    places = np.arange(1, len(line.values) + 1)
    dots = [
        element("circle", cx=frame.at(x(i)), cy=frame.at(y(v)), r="2.4")
        for i, v in zip(places, line.values, strict=True)
    ]
    whiskers = [
        frame.line(x(i), y(low), x(i), y(high), class_=f"whisker {line.tone}")
        for i, low, high in zip(places, line.low, line.high, strict=False)
    ]
    stroke = element("path", d=path(places, line.values, x, y), class_=f"line {line.tone}")
    full = element("g", *dots, class_=f"dot {line.tone}")
    return element("g", *whiskers, stroke, full, data_model=line.tone)


def _place(x: float, y: float) -> list[float]:
    return [round(float(x), 1), round(float(y), 1)]


def _said(line: Layers, i: int, unit: str) -> str:
    """What is said of a block of a model."""
    said = f"{line.model}, block {line.blocks[i]}: {measured(line.values[i], unit)}"
    if i < len(line.low) and i < len(line.high):
        low, high = (number(end[i], unit=unit) for end in (line.low, line.high))
        said += f" ({low} to {high})"
    return clean(said)


def _ends(values: Sequence[float], names: Sequence[str], unit: str) -> str:
    first, last = (measured(values[i], unit) for i in (0, -1))
    return f"{first} in block {names[0]}, {last} in block {names[-1]}"


def _figure(
    title: str, unit: str, drawn: Markup, values: Markup, *, tone: str | None = None
) -> Markup:
    chip = None if tone is None else element("i", class_=f"chip {tone}", aria_hidden="true")
    said = element("span", unit, class_="numbers") if unit and unit != "share" else None
    caption = element("figcaption", element("h4", chip, title), said)
    return element("figure", caption, drawn, values, class_="card", data_model=tone)
