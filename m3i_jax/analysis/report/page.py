"""The page as one file: its parts, its style and its script, and nothing that it would ask for."""

import base64
import datetime
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import m3i_jax
from m3i_jax import jsonfile
from m3i_jax.analysis.report import inside, material, overview, training
from m3i_jax.analysis.report.markup import Markup, clean, data, element, joined
from m3i_jax.analysis.report.material import Material
from m3i_jax.analysis.report.sheet import Sheet
from m3i_jax.checkpoints import storage

FILE = "report.html"
NOTES = 40  # sentences on what is damaged


class Heading(NamedTuple):
    """What stands above a page, where it is not the names of its work directories.

    title: of the whole.  said: sentences below it.  names: of the places, in the page.
    """

    title: str
    said: str
    names: Mapping[Path, str]


def write(
    places: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    heading: Heading | None = None,
) -> Path:
    """Writes the page of work directories and files of numbers; returns where it is.

    A reader sees the old page or the new one, never a part.

    Args:
      places: work directories, results.jsonl, analysis.jsonl.
      out: the file; None = report.html in the work directory, or, of several places, here.
      heading: see `Heading`.

    Raises:
      ConfigError: a place does not exist, or there is nothing to show.
      Unwritable: the disk is full or read-only.
    """
    alone = len(places) == 1 and Path(places[0]).is_dir()
    path = Path(out) if out else Path(places[0]) / FILE if alone else Path(FILE)
    text = page(places, heading=heading)
    with storage.writing(path):
        storage.publish(path, text.encode())
    return path


def page(
    places: Sequence[str | Path], *, follow: bool = False, heading: Heading | None = None
) -> str:
    """The page as text.

    follow: whether it asks where it is from for a newer one, as `serve` answers it.
    heading: see `Heading`.

    Raises:
      ConfigError: see `write`.
    """
    of = material.read(places, names=heading.names if heading else {})
    return document(of, follow=follow, heading=heading)


def document(of: Material, *, follow: bool = False, heading: Heading | None = None) -> str:
    """The page of what was read."""
    sheet, notes = Sheet(of.runs), [*of.notes]
    parts = {
        "What was trained": overview.trained(of, sheet),
        "What it is worth": overview.measured(of, sheet),
        "How it trained": training.progress(of, sheet),
        "What it saw": training.pictures(of, sheet, notes),
        "What it looks like inside": inside.findings(of, sheet, notes),
    }
    names = dict(zip(parts, ("trained", "results", "training", "pictures", "inside"), strict=True))
    links = [
        element("a", said, href=f"#{names[said]}")
        for said, part in parts.items()
        if part is not None
    ]
    title = ", ".join(clean(run.name) for run in of.runs) or "Results"
    title, said = (clean(heading.title), heading.said) if heading else (title, "")
    body = element(
        "body",
        element("a", "To the content", href="#content", class_="skip"),
        _header(title, f"{said} {_lead(of)}".strip(), sheet, links),
        element("main", *parts.values(), _notes(notes), id="content", tabindex="-1"),
        _footer(),
        element("div", id="tip", role="status", aria_live="polite", hidden=True),
        data(sheet.script(), name="data"),
        Markup(f"<script>{_own('script.js')}</script>"),
        data_follow=follow,
    )
    return f'<!doctype html>\n<html lang="en">{joined(_head(title, follow), body)}</html>\n'


def policy(*, follow: bool) -> str:
    """What the page may do: its own style and script, pictures in it, and no request.

    follow: it may also ask where it is from.
    """
    allowed = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{_digest('style.css')}'",
        "script-src": f"'sha256-{_digest('script.js')}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    allowed |= {"connect-src": "'self'"} if follow else {}
    return "; ".join(f"{what} {where}" for what, where in allowed.items())


def _head(title: str, follow: bool) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(follow=follow)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        Markup(f"<style>{_own('style.css')}</style>"),
    )


def _header(title: str, lead: str, sheet: Sheet, links: Sequence[Markup]) -> Markup:
    """The title, where the parts are, and the legend with what can be chosen."""
    legend = [
        element(
            "button",
            element("i", class_=f"chip {sheet.tone(name)}", aria_hidden="true"),
            name,
            type="button",
            aria_pressed="true",
            data_toggle=sheet.tone(name),
        )
        for name in sheet.names
    ]
    smoothing = element(
        "label",
        "Smoothing",
        element("input", type="range", id="smooth", min=0, max=5, step=1, value=2),
    )
    theme = element("button", "Dark", type="button", id="theme", aria_pressed="false")
    runs = element("div", *legend, role="group", aria_label="Models", class_="legend")
    tools = element("div", smoothing if sheet.runs else None, theme, class_="tools")
    return joined(
        element("header", element("h1", title), element("p", lead, class_="lead", id="state")),
        element(
            "div",
            element("nav", *links, aria_label="Parts of the page"),
            runs if len(sheet.names) > 1 else None,
            tools,
            class_="bar",
        ),
    )


def _lead(of: Material) -> str:
    """What the page is of, in one sentence."""
    counts = {"run": len(of.runs), "result": len(of.results), "finding": len(of.findings)}
    said = [f"{n} {what}{'s' * (n > 1)}" for what, n in counts.items() if n]
    now = datetime.datetime.now(datetime.UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")
    return f"{', '.join(said)}. As of {now}."


def _notes(notes: Sequence[str]) -> Markup | None:
    """What could not be shown, and why."""
    if not notes:
        return None
    shown = [element("li", note) for note in notes[:NOTES]]
    more = len(notes) - len(shown)
    return overview.section(
        "notes",
        "What is missing",
        element("ul", *shown, element("li", f"and {more} more") if more > 0 else None),
    )


def _footer() -> Markup:
    said = f"Made by m3i_jax {m3i_jax.__version__}, m3i report. One file, which asks for nothing."
    return element("footer", element("p", said))


@functools.cache
def _own(name: str) -> str:
    """A file of this package."""
    return jsonfile.content(Path(__file__).with_name(name)).decode()


def _digest(name: str) -> str:
    return base64.b64encode(hashlib.sha256(_own(name).encode()).digest()).decode()
