"""Metrics over steps, as SVG: a faint line of all values under their mean, one colour for a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from m3i_jax.analysis.report import frame, markup
from m3i_jax.analysis.report.frame import Box, Drawn, tone
from m3i_jax.analysis.report.markup import Markup, element
from m3i_jax.analysis.report.scale import Scale, number, spanning
from m3i_jax.analysis.report.series import SMOOTH, Chart, Line, smooth
from m3i_jax.types import Array

WIDTH, HEIGHT = 340, 184
LABEL = 84  # most room for names at the ends of lines
ROWS = 9  # of the table of values
NAMED = 6  # more lines than these have their names in the legend alone


def draw(chart: Chart, names: Sequence[str], *, number_of: int, steps: tuple[int, int]) -> Drawn:
    """One chart with its title, its newest values and a table of some.

    names: of the runs.  number_of: of the chart in the page.  steps: first and last of the page.
    """
    labels = [_label(line, chart, names) for line in chart.lines]
    shown = labels if any(labels) and len(labels) <= NAMED else [""] * len(labels)
    room = max((frame.LETTER * len(name) + 8 for name in shown if name), default=0)
    room = min(room, LABEL)
    of = frame.box(WIDTH, HEIGHT, left=44, right=12 + room)
    x, y = scales(chart, of, steps)
    constant = SMOOTH * (steps[1] - steps[0]) if chart.smoothed else 0.0
    strokes = [_strokes(line, x, y, constant) for line in chart.lines]
    band = _band(chart, of, y)
    ends = _ends(chart.lines, shown, x, y, of, constant, room)
    inside = (band, frame.axes(of, x, y, unit=chart.unit), _alone(chart, of), *strokes, *ends)
    said = dict(label=_said(chart, names), data_kind="lines", data_chart=number_of)
    figure = element(
        "figure",
        element("figcaption", element("h4", chart.title), _newest(chart, names)),
        frame.drawing(of, *inside, **said),
        table(chart, names),
        class_="card",
        data_metric=chart.name,
    )
    return Drawn(figure, _script(chart, labels, x, y, of, constant))


def scales(chart: Chart, of: Box, steps: tuple[int, int]) -> tuple[Scale, Scale]:
    """The axes of a chart: steps of the whole page, and all that its lines show."""
    first, last = steps
    x = Scale(first, max(last, first + 1), of.left, of.right)
    values = np.concatenate([[*line.values, line.low[1], line.high[1]] for line in chart.lines])
    if chart.limit is not None:
        values = np.append(values, 0.0)
    linear = chart.linear or chart.limit is not None
    return x, spanning(values, start=of.bottom, end=of.top, linear=linear)


def path(steps: Array, values: Array, x: Scale, y: Scale) -> Markup:
    """Points joined by straight lines, as the `d` of a path."""
    xs, ys = x(np.asarray(steps, np.float64)), y(np.asarray(values, np.float64))
    points = (f"{frame.at(a)} {frame.at(b)}" for a, b in zip(xs, ys, strict=True))
    return Markup("M" + "L".join(points))


def _strokes(line: Line, x: Scale, y: Scale, constant: float) -> Markup:
    """The mean of a line, over its values; dots where there are few."""
    dashed = " dashed" if line.branch == "online" else ""
    mean = smooth(line.steps, line.values, constant=constant)
    of = dict(data_model=tone(line.model))
    raw = path(line.steps, line.values, x, y) if constant else None
    dots = []
    if len(line.steps) <= 24:
        places = zip(x(line.steps), y(mean), strict=True)
        dots = [
            element("circle", cx=frame.at(a), cy=frame.at(b), r=2, class_=f"dot {tone(line.model)}")
            for a, b in places
        ]
    return element(
        "g",
        element("path", d=raw, class_=f"raw {tone(line.model)}") if raw else None,
        element("path", d=path(line.steps, mean, x, y), class_=f"line {tone(line.model)}{dashed}"),
        *dots,
        **of,
    )


def _ends(lines, labels, x, y, of: Box, constant: float, room: float) -> list[Markup]:
    """The names of lines at their ends, moved apart."""
    wanted = [(line, label) for line, label in zip(lines, labels, strict=True) if label]
    last = [smooth(one.steps, one.values, constant=constant)[-1] for one, _ in wanted]
    places = [float(y(value)) for value in last]
    heights = frame.apart(places, least=frame.LINE, low=of.top + 4, high=of.bottom)
    return [
        frame.text(
            min(float(x(line.steps[-1])), of.right) + 6,
            height + 3.5,
            frame.cut(label, room),
            anchor="start",
            class_="label",
            data_model=tone(line.model),
        )
        for (line, label), height in zip(wanted, heights, strict=True)
    ]


def _band(chart: Chart, of: Box, y: Scale) -> Markup | None:
    """Where a target has collapsed."""
    if chart.limit is None:
        return None
    top = float(np.clip(y(chart.limit), of.top, of.bottom))
    size = dict(width=frame.at(of.right - of.left), height=frame.at(of.bottom - top))
    return element("rect", x=frame.at(of.left), y=frame.at(top), class_="band", **size)


def _alone(chart: Chart, of: Box) -> Markup | None:
    """Where every line is a single dot: that it is."""
    if any(len(line.steps) > 1 for line in chart.lines):
        return None
    return frame.text((of.left + of.right) / 2, of.top + 14, "one value, so no line")


def _label(line: Line, chart: Chart, names: Sequence[str]) -> str:
    """What tells a line from the others of its chart: its run, its branch, or nothing."""
    several = len({one.branch for one in chart.lines}) > 1
    said = [names[line.model]] if len(names) > 1 else []
    return " ".join([*said, *([line.branch] if several else [])])


def _newest(chart: Chart, names: Sequence[str]) -> Markup:
    """The last value of each run, of its moving average where it has both."""
    last = {line.model: line.last[1] for line in reversed(chart.lines)}
    said = [
        element(
            "span",
            element("i", class_=f"chip {tone(model)}", aria_hidden="true")
            if len(names) > 1
            else None,
            number(last[model], unit=chart.unit),
            class_="newest",
            title=names[model],
            data_model=tone(model),
        )
        for model in sorted(last)
    ]
    return element("span", *said, class_="numbers")


def _said(chart: Chart, names: Sequence[str]) -> str:
    """A chart in words, for those who do not see it."""
    value = lambda at: f"{number(at[1], unit=chart.unit)} at step {number(at[0])}"  # noqa: E731
    said = [
        f"{' '.join(filter(None, (names[line.model], line.branch)))}: {value(line.first)}, "
        f"{value(line.last)}; lowest {value(line.low)}, highest {value(line.high)}"
        for line in chart.lines
    ]
    return f"{chart.title} over steps. {'. '.join(said)}."


def table(chart: Chart, names: Sequence[str]) -> Markup:
    """Some values of every line, in full; and the least and the greatest of all."""
    heads = [" ".join(filter(None, (names[one.model], one.branch))) for one in chart.lines]
    chosen = sorted({step for line in chart.lines for step in _some(line)})
    by_step = [dict(zip(line.steps.tolist(), line.values, strict=True)) for line in chart.lines]
    value = lambda x: "–" if x is None else number(x, unit=chart.unit, digits=5)  # noqa: E731
    rows = [(number(step), [value(of.get(step)) for of in by_step]) for step in chosen]
    rows += [
        (what, [f"{value(at[1])} at {number(at[0])}" for at in ends])
        for what, ends in (
            ("lowest", [line.low for line in chart.lines]),
            ("highest", [line.high for line in chart.lines]),
        )
    ]
    if any(line.lost for line in chart.lines):
        rows.append(("not finite", [number(line.lost) for line in chart.lines]))
    body = [
        element("tr", element("th", head, scope="row"), *(element("td", cell) for cell in cells))
        for head, cells in rows
    ]
    head = [element("th", name, scope="col") for name in ("step", *heads)]
    inside = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    scroll = element("div", inside, class_="scroll")
    name = element("span", f"of {chart.title}", class_="unseen")
    return element("details", element("summary", "Values ", name), scroll, class_="values")


def _some(line: Line) -> list[int]:
    """A few steps of a line, its first and its last among them."""
    chosen = np.linspace(0, len(line.steps) - 1, min(ROWS, len(line.steps))).round().astype(int)
    return line.steps[chosen].tolist()


def _script(chart, labels, x: Scale, y: Scale, of: Box, constant: float) -> dict[str, Any]:
    """What the script needs: axes, and the values of every line."""
    return {
        "x": [x.low, x.high, x.start, x.end],
        "y": [y.low, y.high, y.start, y.end, int(y.log)],
        "unit": chart.unit,
        "top": of.top,
        "smooth": constant,
        "lines": [
            {
                "model": tone(line.model),
                "name": markup.clean(label),
                "steps": line.steps.tolist(),
                "values": [float(f"{value:.5g}") for value in line.values],
            }
            for line, label in zip(chart.lines, labels, strict=True)
        ],
    }
