"""The frame of a chart: axes with round ticks, a grid, and labels that keep apart."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from m3i_jax.analysis.report.markup import Markup, element, joined
from m3i_jax.analysis.report.scale import Scale, tick, ticks

LETTER = 6.1  # mean width of a letter of a label, in units of the drawing
FEW = 12  # places along an axis that all have their number
LINE = 12.0  # from one label to the next
TONES = 18  # Okabe & Ito's six colours, see `plotting.PALETTE`, in three strokes each


class Drawn(NamedTuple):
    """A chart as markup, and what the script needs to say its values."""

    figure: Markup
    script: dict[str, Any]


class Box(NamedTuple):
    """The part of a drawing in which values are, in its units."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float


def box(
    width: float, height: float, *, left: float = 40, right: float = 10, bottom: float = 22
) -> Box:
    """A box with room for ticks beside it, and for labels at its right."""
    return Box(width, height, left, width - right, 8, height - bottom)


def drawing(of: Box, *inside: Any, label: str, **attributes: Any) -> Markup:
    """The SVG element: a picture with a name, that the keyboard reaches."""
    attributes |= dict(viewBox=f"0 0 {of.width:g} {of.height:g}", role="img", tabindex="0")
    return element("svg", *inside, class_="plot", aria_label=label, **attributes)


def axes(of: Box, x: Scale, y: Scale, *, unit: str = "", name: str = "step") -> Markup:
    """Grid and ticks of both axes; x is of whole numbers and says what it counts."""
    across = ticks(y)
    rows = [
        joined(
            line(of.left, y(value), of.right, y(value), class_="grid"),
            text(of.left - 5, float(y(value)) + 3.5, tick(value, across, unit=unit), anchor="end"),
        )
        for value in across
    ]
    most = FEW if x.high - x.low <= FEW else 5
    along = [value for value in ticks(x, most=most) if float(value).is_integer()]
    columns = [text(x(value), of.bottom + 14, tick(value, along)) for value in along]
    base = line(of.left, of.bottom, of.right, of.bottom, class_="axis")
    said = text(of.left - 5, of.bottom + 14, name, anchor="end", class_="tick axis-name")
    crowded = along and float(x(along[0])) < of.left + LETTER
    return joined(*rows, base, *(columns[1:] if crowded else columns), said)


def text(
    x: Any, y: Any, said: str, *, anchor: str = "middle", class_: str = "tick", **attributes: Any
) -> Markup:
    """Letters at a place."""
    where = dict(x=at(x), y=at(y), text_anchor=anchor, class_=class_)
    return element("text", said, **where, **attributes)


def line(x1: Any, y1: Any, x2: Any, y2: Any, **attributes: Any) -> Markup:
    """A straight line."""
    return element("line", x1=at(x1), y1=at(y1), x2=at(x2), y2=at(y2), **attributes)


def at(coordinate: Any) -> str:
    """A coordinate to a tenth of a unit."""
    return f"{float(coordinate):.1f}".removesuffix(".0")


def apart(places: Sequence[float], *, least: float, low: float, high: float) -> list[float]:
    """Places moved least to be `least` apart and between `low` and `high`, in the order given."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    runs: list[tuple[float, int]] = []  # runs that collide pool: their mean, and how many they are
    for rank, i in enumerate(order):
        mean, count = places[i] - rank * least, 1
        while runs and runs[-1][0] > mean:
            before, n = runs.pop()
            mean, count = (before * n + mean * count) / (n + count), n + count
        runs.append((mean, count))
    moved = [mean for mean, count in runs for _ in range(count)]
    room = high - least * (len(places) - 1)
    shifted = [0.0] * len(places)
    for rank, i in enumerate(order):
        shifted[i] = max(low, min(moved[rank], room)) + rank * least
    return shifted


def cut(said: str, width: float) -> str:
    """A label that fits into a width."""
    most = max(3, int(width / LETTER))
    return said if len(said) <= most else said[: most - 1].rstrip() + "…"


def tone(number: int) -> str:
    """The class of the colour and stroke of a run, by its number; behind all they begin anew."""
    return f"c{number % TONES}"
