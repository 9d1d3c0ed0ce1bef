"""The part of a page on what models look like inside: findings of `m3i analyze`, side by side."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from m3i_jax.analysis.finding import Finding
from m3i_jax.analysis.report import heads, heat, inline
from m3i_jax.analysis.report.heads import Heads, Layers
from m3i_jax.analysis.report.markup import Markup, element
from m3i_jax.analysis.report.material import Looked, Material
from m3i_jax.analysis.report.overview import section
from m3i_jax.analysis.report.scale import LARGEST, number
from m3i_jax.analysis.report.sheet import Sheet

BYTES = 330_000  # of all pictures of findings, as they are coded
LEAST = 6_000  # of one of them
PICTURES = 48  # of a page
BROAD = 1.7  # times as wide as high: such pictures stand below each other
LARGE = 300  # pixels: pictures so wide have letters, or parts
ENDS = ("low", "high")
PAIRS = ("head_divergence",)  # measures of pairs of heads
SIDE = 128  # rows or columns of a map; of more, the first ones are shown


def findings(material: Material, sheet: Sheet, notes: list[str]) -> Markup | None:
    """All measures, each with its models on shared axes."""
    groups: dict[tuple[str, str, str], list[Looked]] = {}
    for looked in material.findings:
        one = looked.finding
        groups.setdefault((one.measure, one.data, one.form), []).append(looked)
    if not groups:
        return None
    counted = min(PICTURES, sum(len(one.finding.pictures) for one in material.findings))
    most, left = max(LEAST, BYTES // max(1, counted)), [PICTURES]
    parts = [_group(of, sheet, notes, most, left) for of in groups.values()]
    said = (
        "Measured by m3i analyze, on the same images for all models where nothing else is said. "
        "Point at a value to read it."
    )
    return section("inside", "What it looks like inside", *parts, said=said)


def _group(of: Sequence[Looked], sheet: Sheet, notes: list[str], most: int, left: list[int]):
    """One measure on one data set."""
    first = of[0].finding
    draw = {"heads": _heads, "layers": _layers, "matrix": _matrix, "pictures": _numbers}[first.form]
    drawn: list[Markup] = []
    try:
        drawn = draw([one.finding for one in of], sheet)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        notes.append(f"{first.title or first.measure} cannot be drawn: {error}")
    grids = [_pictures(one, sheet, notes, most, left) for one in of if one.finding.pictures]
    charts = element("div", *drawn, class_="charts") if drawn else None
    images = next((n for n in first.counts.values() if isinstance(n, int)), None)
    said = [f"on {first.data}" if first.data else ""]
    said += [f"{number(images)} image{'s' * (images != 1)}"] if images else []
    said += [{"share": "in percent", "": ""}.get(first.unit, f"in {first.unit}"), _settings(first)]
    if len({one.finding.records for one in of}) > 1:
        said.append("not of the same images for all models")
    line = element("p", ", ".join(filter(None, said)), class_="lead")
    pictures = element("div", *grids, class_="galleries") if grids else None
    title = element("h3", _titled(first.title or first.measure))
    return element("div", title, line, charts, pictures, class_="family")


def _titled(said: str) -> str:
    """A title as headings begin."""
    return said[:1].upper() + said[1:]


def _settings(of: Finding) -> str:
    """The settings that a command line said."""
    return of.measure.partition(":")[2].replace(",", ", ")


def _name(of: Finding, sheet: Sheet) -> str:
    """Of a model, or of a pair."""
    name = sheet.short(of.model)
    return f"{name} and {sheet.short(of.other)}" if of.other else name


def _heads(models: Sequence[Finding], sheet: Sheet) -> list[Markup]:
    panels = []
    for of in models:
        rows = _rows(of.values["heads"])
        ends = [_rows(of.values.get(name, ())) for name in ENDS]
        means = [float(x) for x in of.values.get("mean", ())]
        names = _blocks(of.labels, len(rows))
        means = means if len(means) == len(rows) else []
        what = "pair" if of.name in PAIRS else "head"
        panels.append(
            Heads(_name(of, sheet), sheet.tone(of.model), names, rows, *ends, means, what)
        )
    labels = dict(title=_titled(models[0].title), unit=models[0].unit, number_of=sheet.next)
    return [sheet.take(drawn) for drawn in heads.heads(panels, **labels)]


def _rows(values: Sequence[Any]) -> list[list[float]]:
    """A list of numbers for each block."""
    rows = [[float(x) for x in np.ravel(row)] for row in values]
    if not all(rows):
        raise ValueError("a block has no number")
    return rows


def _layers(models: Sequence[Finding], sheet: Sheet) -> list[Markup]:
    """A drawing for each name, with all models that have it, and its intervals."""
    names = dict.fromkeys(name for of in models for name in of.values)
    ends = {name: _ends(name, names) for name in names}
    shown = [name for name in names if not any(name in of for of in ends.values())] or list(names)
    drawn = []
    for name in shown:
        lines = [
            _line(of, name, ends[name], sheet)
            for of in models
            if isinstance(of.values.get(name), list) and of.values[name]
        ]
        if lines:
            title = _titled(models[0].title) if len(shown) == 1 else name.replace("_", " ")
            labels = dict(title=title, unit=models[0].unit, number_of=sheet.next)
            drawn.append(sheet.take(heads.layers(lines, **labels)))
    return [*drawn, *_numbers(models, sheet)]


def _ends(name: str, names: Mapping[str, None]) -> list[str]:
    """What the ends of a name's intervals are called: knn_low and knn_high, or low and high."""
    alone = len([one for one in names if one not in ENDS]) == 1
    own = [f"{name}_{end}" for end in ENDS]
    both = own if {*own} <= names.keys() else [*ENDS] if alone and {*ENDS} <= names.keys() else []
    return [] if name in ENDS else both


def _line(of: Finding, name: str, ends: Sequence[str], sheet: Sheet) -> Layers:
    """The numbers of a model, block by block."""
    values = [float(x) for x in of.values[name]]
    both = [[float(x) for x in of.values.get(end, ())] for end in ends] or [(), ()]
    return Layers(
        _name(of, sheet), sheet.tone(of.model), _blocks(of.labels, len(values)), values, *both
    )


def _matrix(models: Sequence[Finding], sheet: Sheet) -> list[Markup]:
    maps = []
    for of in sorted(models, key=lambda one: bool(one.other)):  # pairs come last
        values = np.asarray(of.values["matrix"], np.float64)[:SIDE, :SIDE]
        values = np.clip(values, -LARGEST, LARGEST)
        rows, columns = (
            _said(of.labels.get(axis), count)
            for axis, count in zip(("rows", "columns"), values.shape, strict=True)
        )
        across = f"block of {sheet.short(of.other)}" if of.other else "block"
        down = f"block of {sheet.short(of.model)}" if of.other else "block"
        maps.append(heat.Table(_name(of, sheet), rows, columns, values, across, down))
    span = heat.spanned(maps)
    drawn = []
    for table in maps:
        drawn.append(sheet.take(heat.draw(table, span=span, number_of=sheet.next)))
    return drawn


def _numbers(models: Sequence[Finding], sheet: Sheet) -> list[Markup]:
    """Single numbers, a row for each model."""
    single = lambda x: isinstance(x, int | float) and not isinstance(x, bool)  # noqa: E731
    names = dict.fromkeys(name for of in models for name, x in of.values.items() if single(x))
    if not names:
        return []
    head = [element("th", said.replace("_", " "), scope="col") for said in ("model", *names)]
    body = [
        element(
            "tr",
            element("th", _name(of, sheet), scope="row"),
            *(
                element("td", number(of.values[name]) if single(of.values.get(name)) else "–")
                for name in names
            ),
        )
        for of in models
    ]
    inside = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    return [element("div", element("div", inside, class_="scroll"), class_="card wide")]


def _pictures(one: Looked, sheet: Sheet, notes: list[str], most: int, left: list[int]) -> Markup:
    """The pictures of a finding, each with what it shows."""
    figures, kinds = [], []
    for caption, name in one.finding.pictures:
        if not left[0]:
            notes.append(f"{one.finding.title} has more pictures than the page holds")
            break
        left[0] -= 1
        try:
            uri, (width, height) = inline.file(one.folder / name, most=most)
        except ValueError as error:
            notes.append(f"{name} of {one.finding.title} cannot be shown: {error}")
            continue
        kinds += ["broad"] * (width > BROAD * height) + ["large"] * (width >= LARGE)
        alt = f"{_titled(one.finding.title)} of {_name(one.finding, sheet)}: {caption}"
        picture = element("img", src=uri, alt=alt, width=width, height=height)
        figures.append(element("figure", picture, element("figcaption", caption)))
    tone = sheet.tone(one.finding.model)
    chip = element("i", class_=f"chip {tone}", aria_hidden="true")
    head = element("h4", chip, _name(one.finding, sheet))
    kinds += ["broad"] * (len(figures) == 1)
    kind = next((f"gallery {kind}" for kind in ("broad", "large") if kind in kinds), "gallery")
    return element("div", head, element("div", *figures, class_=kind), data_model=tone)


def _blocks(labels: Mapping[str, Any], count: int) -> list[str]:
    """What the places are called; their numbers, from 1, where they have no names."""
    return _said(labels.get("blocks"), count)


def _said(names: Iterable[Any] | None, count: int) -> list[str]:
    said = [str(name) for name in names or ()]
    return said if len(said) == count else [str(i) for i in range(1, count + 1)]
