"""Tables of numbers as heat maps: a picture of one pixel for each, in a frame of SVG."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from m3i_jax.analysis.report import frame, inline
from m3i_jax.analysis.report.frame import Box, Drawn
from m3i_jax.analysis.report.markup import Markup, clean, element
from m3i_jax.analysis.report.scale import number, tick
from m3i_jax.types import Array

SIDE = 240  # of the map, in units of the drawing
BAR = 9
# From paper over the blue of our palette to night: darker is more, also where colours are not seen.
COLOURS = (
    (245, 242, 235),
    (166, 206, 227),
    (74, 152, 201),
    (0, 114, 178),
    (11, 66, 110),
    (7, 31, 56),
)


class Table(NamedTuple):
    """What was found of one model, or of a pair: rows of numbers and what these are called."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Float[np.ndarray, "rows columns"]
    across: str = "block"
    down: str = "block"


def draw(table: Table, *, span: tuple[float, float], number_of: int) -> Drawn:
    """A heat map with its scale; span: values of the first and the last colour."""
    of = frame.box(340, SIDE + 52, left=58, right=44, bottom=44)
    picture = element(
        "image",
        href=inline.png(colours(table.values, span)),
        x=of.left,
        y=of.top,
        width=of.right - of.left,
        height=of.bottom - of.top,
        preserveAspectRatio="none",
        class_="heat",
    )
    ring = element("rect", class_="ring", x=of.left, y=of.top, width=0, height=0)
    label = (
        f"{table.title}: {len(table.rows)} rows by {len(table.columns)} columns, {_said(table)}."
    )
    inside = (picture, *_names(table, of), *_bar(of, span), ring)
    drawn = frame.drawing(of, *inside, label=label, data_kind="heat", data_chart=number_of)
    caption = element("figcaption", element("h4", table.title))
    figure = element("figure", caption, drawn, _values(table), class_="card")
    script = {
        "box": [of.left, of.top, of.right, of.bottom],
        "rows": [f"{table.down} {clean(name)}" for name in table.rows],
        "columns": [f"{table.across} {clean(name)}" for name in table.columns],
        "values": [[float(f"{x:.4g}") for x in row] for row in table.values.tolist()],
    }
    return Drawn(figure, script)


def spanned(tables: Sequence[Table]) -> tuple[float, float]:
    """A span for all of them: of shares, from a tenth below the least to 1; else all they have."""
    low = min(float(table.values.min()) for table in tables)
    high = max(float(table.values.max()) for table in tables)
    if low >= -0.05 and high <= 1.05:
        return max(0.0, min(np.floor(10 * low) / 10, 0.9)), 1.0
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def colours(
    values: Float[Array, "rows columns"], span: tuple[float, float]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The colour of every value: linear between those of `COLOURS`."""
    share = (np.asarray(values, np.float64) - span[0]) / (span[1] - span[0])
    places = np.linspace(0, 1, len(COLOURS))
    channels = [np.interp(share, places, channel) for channel in np.asarray(COLOURS, float).T]
    return np.stack(channels, -1).round().astype(np.uint8)


def _names(table: Table, of: Box) -> list[Markup]:
    """Some names of rows and columns, as many as fit."""
    across, down = (of.right - of.left) / len(table.columns), (of.bottom - of.top) / len(table.rows)
    said = [
        frame.text(of.left + (i + 0.5) * across, of.bottom + 13, frame.cut(name, 40))
        for i, name in _thinned(table.columns, across, 22)
    ]
    said += [
        frame.text(of.left - 5, of.top + (i + 0.5) * down + 3.5, frame.cut(name, 42), anchor="end")
        for i, name in _thinned(table.rows, down, 14)
    ]
    middle, height = (of.left + of.right) / 2, (of.top + of.bottom) / 2
    turned = dict(class_="tick axis-name", transform=f"rotate(-90 10 {height:g})")
    said.append(frame.text(10, height, frame.cut(table.down, of.bottom - of.top), **turned))
    across_said = frame.cut(table.across, of.right - of.left)
    return [*said, frame.text(middle, of.bottom + 28, across_said, class_="tick axis-name")]


def _thinned(names: Sequence[str], room: float, least: float) -> list[tuple[int, str]]:
    """Every k-th name with its place, so that each has room."""
    longest = max(map(len, names)) * frame.LETTER if least > 14 else 0
    step = max(1, int(np.ceil(max(least, longest) / room)))
    return [*enumerate(names)][::step]


def _bar(of: Box, span: tuple[float, float]) -> list[Markup]:
    """The scale at the right, from the last colour down to the first."""
    ramp = colours(np.linspace(span[1], span[0], 64)[:, None], span)
    size = dict(width=BAR, height=of.bottom - of.top, preserveAspectRatio="none")
    bar = element("image", href=inline.png(ramp), x=of.right + 8, y=of.top, class_="ramp", **size)
    values = np.linspace(*span, 3).tolist()
    heights = np.linspace(of.bottom, of.top + 7, 3)
    said = [
        frame.text(of.right + 11 + BAR, height, tick(round(value, 3), values), anchor="start")
        for value, height in zip(values, heights, strict=True)
    ]
    return [bar, *said]


def _said(table: Table) -> str:
    low, high, mean = (
        float(x) for x in (table.values.min(), table.values.max(), table.values.mean())
    )
    return f"from {number(low)} to {number(high)}, mean {number(mean)}"


def _values(table: Table) -> Markup:
    """All numbers, where they are no more than can be read."""
    head: list[Any] = [element("th", name, scope="col") for name in ("", *table.columns)]
    body = [
        element("tr", element("th", name, scope="row"), *(element("td", f"{x:.3g}") for x in row))
        for name, row in zip(table.rows, table.values.tolist(), strict=True)
    ]
    inside = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    summary = element("summary", "Values ", element("span", f"of {table.title}", class_="unseen"))
    return element("details", summary, element("div", inside, class_="scroll"), class_="values")
