"""The page as a whole: one file that asks for nothing, whatever names it holds, of bounded size."""

import base64
import hashlib
import json
import os

import numpy as np
import pytest

from m3i_jax import pictures
from m3i_jax.analysis import finding
from m3i_jax.analysis.measure import Picture
from m3i_jax.analysis.report import page
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.faults import Unwritable
from tests.analysis.report.places import (
    BYTES,
    CONFIG,
    EVIL,
    found,
    looked,
    measured,
    metrics,
    parse,
    script,
    workdir,
)


def full(folder, **how):
    """A work directory with everything."""
    images = [f"views-{step:08d}.png" for step in (1, 20, 40)]
    place = workdir(folder, images=images, **how)
    measured(place, (f"{place}@40", 0.75, (0.7, 0.8)), ("pixels", 0.5, (0.45, 0.55)))
    looked(
        place,
        found(f"{place}@40"),
        found(f"{place}@40", "pca", "pictures", values={}),
        pictures=["x"],
    )
    return place


def test_the_page_of_a_run_has_all_parts_in_order(tmp_path):
    path = page.write([full(tmp_path / "run")])
    assert path == tmp_path / "run" / "report.html"
    root = parse(path.read_text())
    titles = ["What was trained", "What it is worth", "How it trained", "What it saw"]
    titles.append("What it looks like inside")
    assert [h.text for h in root.all("h2")] == titles
    assert root.one("h1").text == "run" == root.one("title").text
    links = {a.attributes["href"].removeprefix("#") for a in root.one("nav").all("a")}
    assert links == {s.attributes["id"] for s in root.all("section")}
    assert len(script(root)["charts"]) == len([*root.all("svg")])


def test_it_can_be_read_without_eyes(tmp_path):
    root = parse(page.page([full(tmp_path / "a"), full(tmp_path / "b")]))
    assert root.one("html").attributes["lang"] == "en" and root.one("main").has("id", "content")
    assert all(img.attributes["alt"] for img in root.all("img"))
    assert all(svg.attributes["aria-label"] and svg.has("role", "img") for svg in root.all("svg"))
    ids = [node.attributes["id"] for name in NAMES for node in root.all(name, id=True)]
    assert len(ids) == len(set(ids))
    levels = [int(node.name[1]) for node in walk(root) if node.name in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    tables = [table for table in root.all("table")]
    assert all(th.attributes["scope"] in ("row", "col") for t in tables for th in t.all("th"))
    charts = [f for f in root.all("figure", class_="card") if f.attributes.get("data-metric")]
    assert all([*figure.all("table")] for figure in charts)
    pressed = [b.attributes["aria-pressed"] for b in root.all("button", data_toggle=True)]
    assert pressed == ["true", "true"]


NAMES = ("section", "h2", "main", "p", "input", "div", "script", "button")


def walk(node):
    for one in node.inside:
        yield one
        yield from walk(one)


def test_nothing_is_asked_for(tmp_path):
    text = page.page([full(tmp_path / "run")])
    root = parse(text)
    for node in walk(root):
        for key in ("src", "href", "action", "data", "srcset", "xlink:href"):
            said = node.attributes.get(key, "#")
            assert said.startswith(("#", "data:image/")), f"{node.name} {key}={said[:60]}"
        assert not any(key.startswith("on") or key == "style" for key in node.attributes)
        assert node.name not in (
            "link",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "foreignobject",
        )
    policy = root.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert "default-src 'none'" in policy and "connect-src" not in policy
    for name in ("style", "script"):
        node = next(n for n in root.all(name) if not n.attributes)
        digest = base64.b64encode(hashlib.sha256(node.text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    style = root.one("style").text
    assert "url(" not in style and "@import" not in style


def test_a_followed_page_may_ask_where_it_is_from_alone(tmp_path):
    root = parse(page.page([full(tmp_path / "run")], follow=True))
    policy = root.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy.endswith("connect-src 'self'") and root.one("body").has("data-follow", True)


@pytest.mark.parametrize("name", [EVIL.replace("/", "∕").replace("\x00", ""), BYTES, "a&b <c>"])
def test_no_name_becomes_markup(name, tmp_path):
    config = json.loads(
        json.dumps(CONFIG | {"seed": EVIL, EVIL: EVIL, "data": {"name": EVIL, EVIL: 1}})
    )
    lines = metrics(**{f"train/{EVIL}": 1.0, EVIL: 2.0, "health/x/rank": 1.0})
    place = full(tmp_path / name, config=config, lines=lines)
    measured(place, (EVIL, 0.75, (0.7, 0.8)))
    odd = dict(title=EVIL, unit=EVIL, data=EVIL, labels={"blocks": [EVIL, EVIL]})
    looked(place, found(EVIL, f"x:{EVIL}", **odd), pictures=[EVIL])
    text = page.write([place]).read_text()
    root = parse(text)
    assert len([*root.all("script")]) == 2 and len([*root.all("style")]) == 1
    assert not any(ord(x) < 32 and x != "\n" for x in text) and "\u202e" not in text
    assert "alert(1)" in root.one("main").text
    script(root)


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path):
    place = workdir(tmp_path / os.fsdecode(b"run \xff #1"))
    assert parse(page.write([place]).read_text()).one("h1").text == "run ? #1"


def test_what_is_missing_is_a_part_of_the_page(tmp_path):
    place = workdir(tmp_path / "run")
    (place / "results.jsonl").write_text("{\n" * 3)
    root = parse(page.page([place]))
    (notes,) = [s for s in root.all("section") if s.attributes["id"] == "notes"]
    assert "results.jsonl has 3 damaged lines, which are left out" in notes.text


def test_four_models_fit_in_two_megabytes(tmp_path):
    """Many terms, large models, and pictures that no code makes smaller."""
    rng = np.random.default_rng(0)
    names = [f"{family}/term_{i}" for family in ("train", "information") for i in range(12)]
    names += [f"health/term_{i}/{kind}" for kind in ("rank", "spread") for i in range(12)]
    noise = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    places = []
    for run in range(4):
        values = rng.normal(size=(300, len(names))).tolist()
        lines = [
            {"step": 50 * i} | dict(zip(names, row, strict=True)) for i, row in enumerate(values)
        ]
        place = workdir(tmp_path / f"run{run}", lines=lines)
        (place / "images").mkdir()
        for step in range(4):
            pictures.save(np.roll(noise, step), place / "images" / f"views-{step}.png")
        heads = {"heads": rng.normal(size=(24, 16)).tolist()}
        many = [found(f"{place}@1", f"m{i}", values=heads) for i in range(4)]
        cka = found(f"{place}@1", "cka", "matrix", values={"matrix": rng.random((24, 24)).tolist()})
        looked(place, *many, cka)
        drawn = [Picture(f"picture {i}", noise[8 * i : 8 * i + 110, :110]) for i in range(12)]
        finding.write(place, found(f"{place}@1", "pca", "pictures", values={}), drawn=drawn)
        places.append(place)
    text = page.page(places)
    assert 1e6 < len(text.encode()) < 2e6
    assert not [*parse(text).all("section", id="notes")]


def test_of_several_places_the_page_is_here_or_where_it_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [workdir(tmp_path / "a"), workdir(tmp_path / "b")]
    assert page.write(places).resolve() == tmp_path / "report.html"
    assert page.write(places, out="x.html").read_text().startswith("<!doctype html>")
    with pytest.raises(ConfigError, match="nothing to show"):
        page.write([tmp_path / "x.html"])


def test_a_pipe_in_the_place_of_the_page_is_replaced(tmp_path):
    place = workdir(tmp_path / "run")
    os.mkfifo(place / "report.html")
    assert "<h1>run</h1>" in page.write([place]).read_text()
    (place / "report.html").unlink()
    (place / "report.html").symlink_to("/dev/full")
    with pytest.raises(Unwritable, match="no ordinary file"):
        page.write([place])


def test_the_page_of_a_trained_run(finished_run):
    root = parse(page.write([finished_run]).read_text())
    lines = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]
    charts = {
        f.attributes["data-metric"]: f
        for f in root.all("figure", class_="card")
        if f.has("data-metric", True)
    }
    assert {"train/loss", "train/pixels", "probe/knn/top1", "optim/lr"} <= charts.keys()
    number = int(charts["train/loss"].one("svg").attributes["data-chart"])
    line = script(root)["charts"][number]["lines"][0]
    right = [entry["train/loss"] for entry in lines if "train/loss" in entry]
    np.testing.assert_allclose(line["values"], right, rtol=1e-4)
    facts = root.one("dl", class_="facts").text
    assert "jax" in facts and "digit_scenes" in facts


ODD = [
    None,
    True,
    -1,
    2**62,
    1e308,
    -1e308,
    "NaN",
    "Infinity",
    "x" * 400,
    [],
    {},
    [[]],
    EVIL,
    {"a": 1},
]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_files_hold_there_is_a_page(seed, tmp_path):
    """Values of all files are exchanged for others that JSON has, here and there."""
    rng = np.random.default_rng(seed)

    def spoiled(value, share):
        if rng.random() < share:
            return ODD[rng.integers(len(ODD))]
        if isinstance(value, dict):
            return {key: spoiled(x, share) for key, x in value.items()}
        return [spoiled(x, share) for x in value] if isinstance(value, list) else value

    place = full(tmp_path / "run")
    for name in ("metrics.jsonl", "results.jsonl", "analysis.jsonl", "starts.jsonl"):
        lines = (place / name).read_text().splitlines() * 3
        odd = [json.dumps(spoiled(json.loads(line), 0.02 * (seed + 1))) for line in lines]
        (place / name).write_text("\n".join(odd))
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(spoiled(config, 0.04 * (seed + 1))))
    root = parse(page.page([place]))
    assert len(script(root)["charts"]) == len([*root.all("svg")])
    assert "nan" not in " ".join(node.attributes["d"] for node in root.all("path"))
