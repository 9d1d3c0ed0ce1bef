"""Figures of methods, drawn from their records: views, what encodes them, what is predicted.

SVG for the site, with its theme's colours, 400 units wide and as legible on a phone.
"""

import html
from collections.abc import Iterator
from typing import NamedTuple

from m3i_jax.framework import Code, Method, RegionCode, Term

WIDTH, LINE, PAD, GAP = 400, 15, 7, 12  # units; a line of text, its margins, between boxes
# (left edge, width) of the columns of views, codes and terms.
COLUMNS = ((1, 92), (125, 133), (291, 108))
VIEWS = {"a": "view 1", "b": "view 2", "label": "category", "text": "text"}
OWNERS = {"online": "online", "ema": "moving average", "": ""}


class Box(NamedTuple):
    """What is drawn as a box. kind: of its outline.  text: its lines.  of: what leads to it."""

    column: int
    kind: str
    text: tuple[str, ...]
    of: tuple["Box", ...] = ()


class Arrow(NamedTuple):
    """From one box to another. target: whether it brings what is predicted."""

    start: Box
    end: Box
    target: bool = False


def graph(method: Method) -> tuple[list[Box], list[Arrow]]:
    """Boxes and arrows of a method; what would look the same is one."""
    boxes: dict[Box, None] = {}
    arrows: dict[Arrow, None] = {}
    for term in method.terms.values():
        x, y = (_encoded(method, method.codes[end]) for end in (term.x, term.y))
        told = Box(2, "term", _term(method, term), (x, y))
        for code in told.of:
            boxes |= dict.fromkeys([*code.of, code, told])
            arrows |= {Arrow(view, code, code.kind == "target"): None for view in code.of}
            arrows[Arrow(code, told, code is y)] = None
    return list(boxes), list(arrows)


def svg(method: Method, *, name: str) -> str:
    """The figure of a method as an element of a page."""
    boxes, arrows = graph(method)
    places = dict(_placed(boxes))
    height = max(y + h for y, h in places.values()) + 2
    parts = [
        f'<svg class="method" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(said(method, name), quote=True)}">'
    ]
    parts += [_line(arrow, places) for arrow in arrows]
    parts += [_box(box, *place) for box, place in places.items()]
    return "\n".join([*parts, "</svg>"])


def said(method: Method, name: str) -> str:
    """The figure in words, for those who do not see it."""
    terms = [box for box in graph(method)[0] if box.column == 2]
    words = [
        f"{_words(x)} predicts {_words(y)}, {box.text[0]}" for box in terms for x, y in [box.of]
    ]
    return f"{name}: {'; '.join(words)}"


def _words(code: Box) -> str:
    return f"{' '.join(code.text)} of {' and '.join(' '.join(view.text) for view in code.of)}"


def passes(method: Method) -> str:
    """Passes of images through networks in a step, by whose weights they are, in words."""
    counted: dict[str, list[str]] = {}
    seen = set()
    for name in method.order:
        code = method.encoded[name]
        at = (code.encoder.owner, code.encoder.tower, code.view, code.mask)
        if code.view not in ("label", "text") and code.encoder.owner and at not in seen:
            seen.add(at)
            dropped = code.mask and not code.mask.varies
            part = f" ({100 * (1 - code.mask.hidden):.0f} % visible)" if dropped else ""
            small = " small" if _small(code.view) else ""
            counted.setdefault(_weights(code) + small, []).append(part)
    words = []
    for owner, parts in sorted(counted.items(), key=lambda item: not item[0].startswith("online")):
        for part in dict.fromkeys(parts):
            words.append(f"{parts.count(part)} {owner}{part}")
    return ", ".join(words)


def _encoded(method: Method, code: Code | RegionCode) -> Box:
    """The box of a code, behind that of its view."""
    region = ()
    if isinstance(code, RegionCode):
        region, code = (f"{code.region} image",), method.codes[code.code]
    hidden = (f"{100 * code.mask.hidden:.0f} % hidden",) if code.mask else ()
    seen = code.encoder.views or (code.view,)
    views = tuple(Box(0, "view", _view(method, view)) for view in seen)
    mean = ("mean of them",) if code.encoder.views else ()
    alike = (f"all of its {VIEWS[code.identity]}",) if code.identity else ()
    kind = "target" if code.encoder.stop_gradient else "code"
    return Box(1, kind, (*_encoder(code), *hidden, *region, *mean, *alike), views)


def _view(method: Method, name: str) -> tuple[str, ...]:
    if derived := method.views.get(name):
        of = " and ".join(VIEWS[need].removeprefix("view ") for need in derived.needs)
        if derived.codes:
            return ("corrupted", f"view {of}")
        return ("two images", "mixed" if derived.mixes else "blended")
    return (VIEWS[name],) if name in VIEWS else ("small crops",)


def _small(view: str) -> bool:
    return view[0] == "l" and view[1:].isdigit()


def _weights(code: Code) -> str:
    owner = code.encoder.owner.removeprefix("frozen/")
    if code.encoder.owner == "online":
        return "online" if code.encoder.tower == "image" else code.encoder.tower
    return "averaged" if owner == "ema" else f"frozen {owner}"


def _encoder(code: Code) -> tuple[str, ...]:
    """Name of what encodes, and the heads behind it."""
    encoder = code.encoder
    if not encoder.owner:
        return ("pixels",) if encoder.represents == "pixels" else (encoder.represents,)
    owner = encoder.owner.removeprefix("frozen/")
    frozen = owner != encoder.owner
    weights = f"frozen {owner}" if frozen else OWNERS.get(owner, owner)
    if code.view == "label":
        return ("class table",)
    if code.view == "text":
        return ("text tower",)
    tower = "encoder" if encoder.tower in ("image", owner) else encoder.tower
    first = weights if frozen else f"{weights} {tower}" if weights == "online" else weights
    return (first, *(head.replace("_", " ") for head in encoder.heads))


def _term(method: Method, term: Term) -> tuple[str, ...]:
    lines = term.predict.name.replace(" · ", " ·\n").split("\n")
    if term.decoder:
        lines.append(f"by {term.decoder}")
    if term.positions != "all":
        lines.append(f"{term.positions} places")
    if term.regularize:
        lines += [f"+ {name}" for name in term.regularize.name.split(", ")]
    return tuple(lines)


def _placed(boxes: list[Box]) -> Iterator[tuple[Box, tuple[int, int]]]:
    """(top, height) of every box; columns are centred on the highest."""
    columns = [[box for box in boxes if box.column == i] for i in range(len(COLUMNS))]
    heights = [sum(_height(box) + GAP for box in column) - GAP for column in columns]
    for column, height in zip(columns, heights, strict=True):
        top = 1 + (max(heights) - height) // 2
        for box in column:
            yield box, (top, _height(box))
            top += _height(box) + GAP


def _height(box: Box) -> int:
    return len(box.text) * LINE + 2 * PAD


def _box(box: Box, top: int, height: int) -> str:
    left, width = COLUMNS[box.column]
    middle = left + width / 2
    shape = f'<rect class="{box.kind}" x="{left}" y="{top}" width="{width}" height="{height}"/>'
    texts = [
        f'<text class="line{i}" x="{middle:g}" y="{top + PAD + LINE * i + 11}">'
        f"{html.escape(text)}</text>"
        for i, text in enumerate(box.text)
    ]
    return "".join([shape, *texts])


def _line(arrow: Arrow, places: dict[Box, tuple[int, int]]) -> str:
    (left, width), (right, _) = COLUMNS[arrow.start.column], COLUMNS[arrow.end.column]
    x1, x2 = left + width, right
    y1, y2 = (places[box][0] + places[box][1] / 2 for box in (arrow.start, arrow.end))
    bend = (x1 + x2) / 2
    style = "arrow target" if arrow.target else "arrow"
    return (
        f'<path class="{style}" d="M{x1} {y1:g}C{bend:g} {y1:g} {bend:g} {y2:g} {x2 - 5} {y2:g}"/>'
        f'<path class="head" d="M{x2} {y2:g}l-7 -3.5v7z"/>'
    )
