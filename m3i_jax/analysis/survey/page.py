"""The figures and pictures of a data set as one HTML file, which asks for nothing."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import m3i_jax
from m3i_jax import ordinary, pictures
from m3i_jax.analysis.report import inline
from m3i_jax.analysis.report.markup import Markup, clean, element, joined
from m3i_jax.analysis.survey import wording
from m3i_jax.data.survey.figures import Fault, Figures, Split, to_dict

MOST = 40  # classes that have a row each
FAULTS = 50  # broken records that are named; data.json has all
PICTURE = 4 << 20  # bytes of a picture
FIGURES, PAGE = "data.json", "index.html"
STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2} h1{overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-weight:600;vertical-align:top;padding:.15rem 1rem .15rem 0}
th{white-space:nowrap}
td{overflow-wrap:anywhere;padding:.15rem 0}
.bars td:first-of-type{width:60%} meter{width:100%}
img{max-width:100%;height:auto;background:#fff}
.doubts{border-left:.3rem solid #d55e00;padding-left:1rem}
footer{color:gray;margin-top:3rem}
"""


def write(
    folder: Path,
    of: Figures,
    doubts: Sequence[str],
    drawn: Mapping[str, tuple[str, np.ndarray | None]],
) -> Path:
    """Writes figures, pictures and the page into a folder; returns the path of the page.

    drawn: name of a file without its suffix -> (title, picture); None is left out.
    """
    figures = {**to_dict(of), "doubts": list(doubts)}
    # First, as it tells the folder of ours: where the disk is full, the next one goes on there.
    ordinary.written(folder / FIGURES, (json.dumps(figures, indent=1) + "\n").encode())
    sheets = {
        title: pictures.save(image, folder / f"{name}.png")
        for name, (title, image) in drawn.items()
        if image is not None
    }
    ordinary.written(folder / PAGE, html(of, doubts, sheets).encode())
    return folder / PAGE


def html(of: Figures, doubts: Sequence[str], sheets: Mapping[str, Path]) -> str:
    """The page.

    sheets: title -> picture file, which becomes part of it.
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    title = clean(f"Data: {of.name}")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    said = element("ul", *(element("li", doubt) for doubt in doubts), class_="doubts")
    body = element(
        "body",
        element("h1", title),
        element("h2", "To think about") if doubts else None,
        said if doubts else None,
        *(_split(split, of.crop) for split in of.splits),
        *(_sheet(name, path) for name, path in sheets.items()),
        element("footer", f"Made by m3i_jax {m3i_jax.__version__}, m3i data."),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _split(of: Split, crop: int) -> Markup:
    rows = [
        element("tr", element("th", name, scope="row"), element("td", fact))
        for name, fact in wording.facts(of, crop=crop)
    ]
    lead = f"{of.readable} of {of.looked_at} images can be read."
    return element(
        "section",
        element("h2", of.split.capitalize()),
        element("p", lead),
        element("table", *rows),
        _bars(of),
        _faults("Cannot be read", of.broken),
        _faults("Read in part", of.left_out),
    )


def _bars(of: Split) -> Markup | None:
    bars = wording.histogram(of.classes, most=MOST)
    if not bars:
        return None
    most = max(1, *(bar.count for bar in bars))
    rows = [
        element(
            "tr",
            element("th", clean(bar.name, most=80), scope="row"),
            element("td", element("meter", value=bar.count, max=most)),
            element("td", bar.said),
        )
        for bar in bars
    ]
    return joined(element("h3", "Classes"), element("table", *rows, class_="bars"))


def _faults(title: str, faults: Sequence[Fault]) -> Markup | None:
    if not faults:
        return None
    rows = [element("li", fault.reason) for fault in faults[:FAULTS]]
    more = len(faults) - len(rows)
    rest = element("p", f"and {more} more, which data.json has") if more > 0 else None
    return joined(element("h3", title), element("ul", *rows), rest)


def _sheet(title: str, path: Path) -> Markup:
    source, (width, height) = inline.file(path, most=PICTURE)
    picture = element("img", src=source, alt=title, width=width, height=height)
    return joined(element("h2", title), picture)
