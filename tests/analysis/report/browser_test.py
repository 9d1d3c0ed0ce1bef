"""The page in a headless Chromium: desktop, phone, dark, printed, by keyboard, and served.

Skipped where there is none (Debian: apt-get install chromium-headless-shell, as .ci/run does).
"""

import json
import re
import threading

import numpy as np
import pytest

from m3i_jax.analysis.report import page, serve
from tests.analysis.report import browser
from tests.analysis.report.page_test import full
from tests.analysis.report.places import EVIL, found, looked, measured, metrics, workdir

pytestmark = pytest.mark.skipif(
    browser.program() is None,
    reason="there is no Chromium on this machine (apt-get install chromium-headless-shell)",
)
# Contrast of every text with what is behind it, by WCAG 2.1: those below 4.5.
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((x) => x / 255)
    .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
    }
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || !node.getClientRects().length || node.matches("script, style")) continue;
    const style = getComputedStyle(node);
    const ink = light(rgba(node instanceof SVGElement ? style.fill : style.color));
    const paper = light(behind(node));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5) poor.push([node.tagName, node.textContent.slice(0, 40), contrast]);
  }
  return poor;
})()"""
WIDTH = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """One browser for all tests of this file."""
    with browser.started(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page of two runs with everything, and names that nobody would choose."""
    folder = tmp_path_factory.mktemp("runs")
    first = full(folder / "first")
    second = full(folder / "second", lines=metrics(30, **{f"train/{EVIL}": 1.0, "a" * 120: 2.0}))
    measured(second, (EVIL, 0.25, (0.2, 0.3)))
    matrix = {"matrix": [[1.0, 0.5], [0.5, 1.0]]}
    both = [found(f"{run}@40", "cka", "matrix", values=matrix) for run in (first, second)]
    layers = {"rank": [1.0, 2.0, 4.0]}
    looked(first, *both, found(f"{first}@40", "rank", "layers", values=layers, unit=EVIL))
    return page.write([first, second], out=folder / "report.html").as_uri()


def silent(chromium):
    """Nothing is complained of, and nothing asked for."""
    assert chromium.complaints() == [] and chromium.requests() == []


@pytest.mark.parametrize("width, dark", [(1280, False), (1280, True), (390, False), (390, True)])
def test_it_fits_and_can_be_read_on_every_device(width, dark, chromium, address):
    chromium.open(address, width=width, height=844, dark=dark)
    assert chromium.run(WIDTH) <= width, "the page is wider than its window"
    chromium.run("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert chromium.run(WIDTH) <= width
    assert chromium.run(CONTRAST) == []
    paper = chromium.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == dark
    assert chromium.run("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    # Letters in pictures are as large as they were drawn, on a phone, too.
    lettered = "[...document.querySelectorAll('.gallery.broad img, .shots > figure img')]"
    shown = f"{lettered}.filter((i) => i.getClientRects().length)"
    sizes = chromium.run(f"{shown}.map((i) => i.clientWidth / i.naturalWidth)")
    assert sizes and (width > 390 or min(sizes) >= 1)
    assert chromium.picture()[:4] == b"\x89PNG"
    silent(chromium)


@pytest.mark.parametrize(
    "width, kind, rows", [(1280, "charts", 1), (800, "charts", 2), (1280, "runs", 2)]
)
def test_of_four_none_is_left_alone(width, kind, rows, chromium, address):
    chromium.open(address, width=width)
    tops = f"""(() => {{
      const grid = document.createElement("div");
      grid.className = "{kind}";
      for (let i = 0; i < 4; i++) grid.append(document.createElement("p"));
      document.querySelector("main").append(grid);
      return [...grid.children].map((one) => one.offsetTop);
    }})()"""
    found = chromium.run(tops)
    assert len({*found}) == rows and found.count(found[0]) == 4 // rows


def test_it_prints(chromium, address):
    chromium.open(address, dark=True)
    assert chromium.printed()[:5] == b"%PDF-"
    chromium.open(address, dark=True, media="print")
    for what in ("nav", ".tools", ".values"):
        assert chromium.run(f"getComputedStyle(document.querySelector('{what}')).display") == "none"
    assert chromium.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium.run(CONTRAST) == []
    silent(chromium)


def test_values_are_said_under_the_pointer_and_by_the_keyboard(chromium, address):
    chromium.open(address)
    plot = "document.querySelector('[data-metric=\"train/pixels\"] svg')"
    chromium.run(f"{plot}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box = chromium.run(
        f"(({{x, y, width, height}}) => [x, y, width, height])({plot}.getBoundingClientRect())"
    )
    chromium.point(box[0] + box[2] * 0.45, box[1] + box[3] / 2)
    said = chromium.run("[...document.querySelectorAll('#tip p')].map((p) => p.textContent)")
    step = int(said[0].removeprefix("step "))
    assert [text.split("  ") for text in said[1:]] == [
        ["first", chromium.run(f"(1 / {step}).toPrecision(4)")],
        ["second", chromium.run(f"(1 / {step}).toPrecision(4)")],
    ]
    chromium.run(f"{plot}.focus()")
    chromium.press("End")
    assert chromium.run("document.querySelector('#tip p').textContent") == "step 40"
    chromium.press("ArrowLeft")
    assert chromium.run("document.querySelector('#tip p').textContent") == "step 39"
    chromium.press("Escape")
    assert chromium.run("document.querySelector('#tip').hidden")
    silent(chromium)


@pytest.mark.parametrize(
    "kind, said",
    [
        ("heads", "block 1, head 1: 1 pixels"),
        ("heat", "block 1, block 1: 1"),
        ("marks", "first@40: 75.0 % (95 %: 70.0 % to 80.0 %)"),
    ],
)
def test_each_kind_of_chart_says_its_values(kind, said, chromium, address):
    chromium.open(address)
    chromium.run(f"document.querySelector('svg[data-kind={kind}]').focus()")
    chromium.press("Home")
    assert chromium.run("document.querySelector('#tip').textContent") == said
    silent(chromium)


def test_the_script_draws_the_lines_that_are_there(chromium, address):
    """Smoothing as it was drawn gives the same path; none gives the values."""
    chromium.open(address)
    paths = """[...document.querySelectorAll('[data-metric="train/loss"] path')]
      .map((path) => [path.getAttribute("class"), path.getAttribute("d")])"""
    before = chromium.run(paths)
    move = """((value) => { const slider = document.getElementById("smooth");
      slider.value = value; slider.dispatchEvent(new Event("input")); })"""
    chromium.run(f"{move}(4); {move}(2)")
    numbers = lambda path: np.array(re.findall(r"[\d.]+", path), float)  # noqa: E731
    for (name, one), (_, other) in zip(before, chromium.run(paths), strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), atol=0.11, err_msg=name)
    chromium.run(f"{move}(0)")
    by_name = dict(chromium.run(paths))
    np.testing.assert_allclose(numbers(by_name["line c0"]), numbers(by_name["raw c0"]), atol=0.11)
    chromium.run(f"{move}(5)")
    assert dict(chromium.run(paths))["line c0"] != dict(before)["line c0"]
    silent(chromium)


def test_models_steps_and_theme_can_be_chosen(chromium, address):
    chromium.open(address)
    shown = """[...document.querySelectorAll("[data-model=c0]")]
      .filter((one) => one.getClientRects().length).length"""
    assert chromium.run(shown) > 10
    chromium.run("document.querySelector('[data-toggle=c0]').click()")
    assert chromium.run(shown) == 0
    assert chromium.run("document.querySelector('[data-toggle=c0]').ariaPressed") == "false"
    chromium.run("document.querySelector('[data-toggle=c0]').click()")
    assert chromium.run(shown) > 10
    visible = """[...document.querySelectorAll(".shots img")]
      .filter((one) => one.getClientRects().length).map((one) => one.alt.slice(0, 24))"""
    assert chromium.run(visible) == ["views of first at step 4", "views of second at step "]
    chromium.run("document.querySelector('#shots-0-1').focus()")
    chromium.run("document.querySelector('#shots-0-1').click()")
    assert chromium.run(visible)[0] == "views of first at step 2"
    chromium.run("document.getElementById('theme').click()")
    assert chromium.run("document.documentElement.dataset.theme") == "dark"
    assert chromium.run("document.getElementById('theme').textContent") == "Light"
    assert chromium.run(CONTRAST) == []
    chromium.run("localStorage.clear()")
    silent(chromium)


def test_a_served_page_becomes_the_newer_one_where_the_reader_is(chromium, tmp_path):
    place = workdir(tmp_path / "run")
    with serve.server([place]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium.open(f"http://{serve.HOST}:{server.server_port}/")
        chromium.run("document.querySelector('.settings').open = true; scrollTo(0, 300)")
        chromium.run("document.getElementById('smooth').value = 0")
        with (place / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": 41, "train/loss": 123.5}) + "\n")
        newest = "document.querySelector('[data-metric=\"train/loss\"] .newest').textContent"
        wait = f"""new Promise((done) => {{ const look = () =>
          {newest} === "123.5" ? done(true) : setTimeout(look, 100); look(); }})"""
        assert chromium.run(wait)
        assert (
            chromium.run("document.querySelector('.settings').open")
            and chromium.run("scrollY") == 300
        )
        host = f"http://{serve.HOST}:{server.server_port}/"
        assert set(chromium.requests()) <= {host, f"{host}state", f"{host}favicon.ico"}
        errors = [c for c in chromium.complaints() if "favicon" not in json.dumps(c)]
        assert errors == []
        chromium.open("about:blank")
        server.shutdown()
