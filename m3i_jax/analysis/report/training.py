"""The parts of a page on the training itself: metrics over steps, and pictures by step."""

from collections.abc import Sequence

from m3i_jax.analysis.report import curves, inline, series
from m3i_jax.analysis.report.markup import Markup, clean, element, joined
from m3i_jax.analysis.report.material import Material, Picture
from m3i_jax.analysis.report.overview import section
from m3i_jax.analysis.report.scale import number
from m3i_jax.analysis.report.sheet import Sheet

BYTES = 450_000  # of all pictures of steps, as they are coded
LEAST = 9_000  # of one of them
SHOWN = 12  # pictures of a page, over all runs and steps
STEPS = 4  # of one picture: the newest, and the first
ABOUT = {
    "views": "what each sample became: the views, what an encoder sees of them, masks and mixes, "
    "and what is predicted, one row for each sample; of pixels beside what is true",
}


def progress(material: Material, sheet: Sheet) -> Markup | None:
    """Every metric of every run over steps, in families."""
    families = series.families(material.runs)
    if not families:
        return None
    logged = [line["step"] for run in material.runs for line in run.metrics]
    names = [clean(run.name) for run in material.runs]
    parts = []
    for family in families:
        draw = lambda chart: sheet.take(  # noqa: E731
            curves.draw(chart, names, number_of=sheet.next, steps=(min(logged), max(logged)))
        )
        first = element("div", *map(draw, family.charts), class_="charts")
        rest = _more(family.more, draw)
        heading = joined(element("h3", family.title), element("p", family.said, class_="lead"))
        parts.append(element("div", heading, first, rest, class_="family"))
    return section("training", "How it trained", *parts)


def _more(charts: Sequence[series.Chart], draw) -> Markup | None:
    """Charts that one looks at when the first ones leave a question."""
    if not charts:
        return None
    summary = element("summary", f"{len(charts)} more")
    inside = element("div", *map(draw, charts), class_="charts")
    return element("details", summary, inside, class_="more")


def pictures(material: Material, sheet: Sheet, notes: list[str]) -> Markup | None:
    """The newest pictures of every run, with a choice of steps."""
    groups = [
        (number_of, name, [one for one in run.pictures if one.name == name])
        for number_of, run in enumerate(material.runs)
        for name in dict.fromkeys(one.name for one in run.pictures)
    ]
    if not groups:
        return None
    steps = max(1, min(STEPS, SHOWN // len(groups)))
    shown = sum(min(steps, len(of)) for _, _, of in groups)
    most = max(LEAST, BYTES // shown)
    parts = []
    for i, (number_of, name, of) in enumerate(groups[:SHOWN]):
        run = material.runs[number_of]
        title = f"{name} of {run.name}" if len(material.runs) > 1 else name
        chosen = of if len(of) <= steps else [*of[: steps > 1], *of[-max(1, steps - 1) :]]
        parts.append(_shots(f"shots-{i}", title, name, chosen, most, notes))
    said = (
        "The newest pictures, and the first: samples as the step saw them. Hidden cells are shaded."
    )
    shots = element("div", *parts, class_="shelf")
    return section("pictures", "What it saw", shots, said=said)


def _shots(
    group: str, title: str, name: str, of: Sequence[Picture], most: int, notes: list[str]
) -> Markup:
    """One picture at several steps, the newest first, of which one is chosen."""
    choices, figures = [], []
    for picture in reversed(of):
        try:
            uri, (width, height) = inline.file(picture.path, most=most)
        except ValueError as error:
            notes.append(f"{picture.path.name} cannot be shown: {error}")
            continue
        own = f"{group}-{len(figures)}"
        step = f"step {number(picture.step)}"
        checked = not figures
        choices.append(element("input", type="radio", name=group, id=own, checked=checked))
        choices.append(element("label", step, for_=own))
        alt = f"{title} at {step}: {ABOUT.get(name, 'a picture of the step')}"
        size = dict(width=width, height=height)
        figures.append(element("figure", element("img", src=uri, alt=alt, **size)))
    legend = element("legend", title)
    return element("fieldset", legend, *choices, *figures, class_="card shots")
