"""Where the time of a run went, over all its starts: a bar, and every part of it in words."""

import math
from typing import NamedTuple

from m3i_jax.analysis.report.markup import Markup, element
from m3i_jax.analysis.report.material import Run
from m3i_jax.analysis.report.scale import number
from m3i_jax.training.goodput import ELAPSED, KINDS, STEPS
from m3i_jax.training.progress import duration

WIDTH, HEIGHT = 600, 10  # of the bar, in units of its own
LOST = "lost with a process, or between two starts"


class Part(NamedTuple):
    """A part of the time: its name in the style, what it is, seconds."""

    name: str
    said: str
    seconds: float


def parts(run: Run) -> list[Part]:
    """All parts of the time since the first start, which they add up to; [] where none is known.

    Of a start that ended before its next line nothing is known but that its time has passed.
    """
    row = next((line for line in reversed(run.metrics) if ELAPSED in line), {})
    read = lambda name: row[name] if _known(row.get(name)) else 0.0  # noqa: E731
    found = [Part("steps", "steps that count", read(STEPS))]
    found += [Part(kind, said, read(f"perf/seconds/{kind}")) for kind, said in KINDS.items()]
    lost = read(ELAPSED) - sum(part.seconds for part in found)
    starts = len(run.starts)
    said = f"{LOST}: {starts} starts" if starts > 1 else LOST
    found.append(Part("lost", said, lost if lost >= 1 else 0.0))
    return [part for part in found if part.seconds > 0] if row else []


def drawn(run: Run) -> Markup | None:
    """The bar and its parts; None where nothing is known."""
    of = parts(run)
    if not of:
        return None
    total, at, bars, rows = sum(part.seconds for part in of), 0.0, [], []
    for part in of:
        share = part.seconds / total
        where = dict(x=f"{WIDTH * at:.1f}", y=0, width=f"{WIDTH * share:.1f}", height=HEIGHT)
        bars.append(element("rect", class_=part.name, **where))
        at += share
        chip = element("i", class_=f"part {part.name}", aria_hidden="true")
        said = f"{number(share, unit='share')}, {duration(part.seconds)}"
        rows.append(element("div", element("dt", chip, part.said), element("dd", said)))
    box = dict(viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", aria_hidden="true")
    head = element("h4", f"Where {duration(total)} went")
    return element("div", head, element("svg", *bars, **box), element("dl", *rows), class_="spent")


def _known(value: object) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and math.isfinite(value) and value >= 0
