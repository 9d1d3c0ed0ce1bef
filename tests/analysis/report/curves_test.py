"""Curves: coordinates against an independent computation, values against those given."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from m3i_jax.analysis.report import curves, frame, series
from m3i_jax.analysis.report.curves import HEIGHT, WIDTH
from m3i_jax.analysis.report.material import Run
from tests.analysis.report.places import EVIL, parse


def chart(*runs, name="train/x"):
    made = [Run(f"run{i}", Path("/"), metrics=of) for i, of in enumerate(runs)]
    return next(c for f in series.families(made) for c in (*f.charts, *f.more) if c.name == name)


def points(path):
    return [tuple(map(float, pair.split())) for pair in re.split("[ML]", path)[1:]]


LINES = [{"step": s, "train/x": x} for s, x in ((10, 2.0), (20, 1.0), (40, 4.0))]


def test_points_are_where_step_and_value_say():
    drawn = curves.draw(chart(LINES), ["a"], number_of=7, steps=(10, 50))
    page = parse(drawn.figure)
    raw = page.one("path", class_="raw").attributes["d"]
    left, right, top, bottom = 44, WIDTH - 12, 8, HEIGHT - 22
    room = 0.06 * (4 - 1)
    low, high = 1 - room, 4 + room
    for (x, y), line in zip(points(raw), LINES, strict=True):
        share = (line["step"] - 10) / (50 - 10)
        assert x == pytest.approx(left + share * (right - left), abs=0.051)
        share = (line["train/x"] - low) / (high - low)
        assert y == pytest.approx(bottom - share * (bottom - top), abs=0.051)
    svg = page.one("svg")
    assert svg.attributes["data-chart"] == "7" and svg.attributes["viewbox"] == "0 0 340 184"
    assert "2 at step 10, 4 at step 40; lowest 1 at step 20" in svg.attributes["aria-label"]


def test_the_line_is_the_mean_of_the_values():
    drawn = curves.draw(chart(LINES), ["a"], number_of=0, steps=(10, 50))
    (line,) = parse(drawn.figure).all("path", class_="line")
    constant, mean = 0.02 * 40, [2.0]
    keep = math.exp(-10 / constant)
    mean.append((keep * 2 + 1) / (keep + 1))
    weights = [math.exp(-30 / constant), math.exp(-20 / constant), 1.0]
    mean.append(np.dot(weights, [2, 1, 4]) / sum(weights))
    y = drawn.script["y"]
    for (_, found), value in zip(points(line.attributes["d"]), mean, strict=True):
        right = y[2] + (y[3] - y[2]) * (value - y[0]) / (y[1] - y[0])
        assert found == pytest.approx(right, abs=0.051)


def test_a_dot_without_a_line_says_so():
    said = [str(curves.draw(chart(of), ["a"], number_of=0, steps=(0, 50)).figure)
            for of in (LINES[:1], LINES)]  # fmt: skip
    assert ["one value, so no line" in one for one in said] == [True, False]


def test_wide_ranges_are_drawn_by_their_logarithms():
    lines = [{"step": s, "train/x": 10.0**-s} for s in range(5)]
    drawn = curves.draw(chart(lines), ["a"], number_of=0, steps=(0, 4))
    heights = [y for _, y in points(parse(drawn.figure).one("path", class_="raw").attributes["d"])]
    np.testing.assert_allclose(np.diff(heights), np.diff(heights)[0], atol=0.11)
    assert drawn.script["y"][4] == 1


def test_values_are_those_of_the_file_in_the_table_and_for_the_script():
    other = [{"step": 20, "train/x": 0.123456789}, {"step": 30, "train/x": math.nan}]
    drawn = curves.draw(chart(LINES, other), ["a", "b"], number_of=0, steps=(10, 40))
    rows = [[cell.text for cell in row.inside] for row in parse(drawn.figure).all("tr")]
    assert rows[0] == ["step", "a", "b"] and ["20", "1", "0.12346"] in rows
    assert ["10", "2", "–"] in rows and ["not finite", "0", "1"] in rows
    assert ["lowest", "1 at 20", "0.12346 at 20"] in rows
    first, second = drawn.script["lines"]
    assert first["steps"] == [10, 20, 40] and first["values"] == [2, 1, 4]
    assert second["values"] == [0.12346] and (first["model"], second["model"]) == ("c0", "c1")


def test_branches_are_told_apart_and_lines_named_at_their_ends():
    lines = [{"step": 1, "probe/ema_knn/top1": 0.5, "probe/online_knn/top1": 0.25}]
    drawn = curves.draw(chart(lines, name="probe/knn/top1"), ["a"], number_of=0, steps=(1, 2))
    page = parse(drawn.figure)
    assert [t.text for t in page.all("text", class_="label")] == ["ema", "online"]
    assert len([*page.all("path", class_="dashed")]) == 1
    assert [s.text for s in page.all("span", class_="newest")] == ["50.0 %"]


def test_where_a_target_collapses_is_a_band():
    lines = [{"step": 1, "health/x/spread": 0.5}, {"step": 2, "health/x/spread": 0.6}]
    of = chart(lines, name="health/x/spread")
    drawn = curves.draw(of, ["a"], number_of=0, steps=(1, 2))
    band = parse(drawn.figure).one("rect", class_="band").attributes
    _, y = curves.scales(of, frame.box(WIDTH, HEIGHT, left=44), (1, 2))
    assert float(band["y"]) == pytest.approx(float(y(0.2)), abs=0.06)
    assert float(band["y"]) + float(band["height"]) == pytest.approx(HEIGHT - 22, abs=0.11)


def test_no_name_becomes_markup():
    name = f"train/{EVIL}"
    lines = [[{"step": 1, name: 1.0}], [{"step": 2, name: 2.0}]]
    drawn = curves.draw(chart(*lines, name=name), [EVIL, "b"], number_of=0, steps=(1, 2))
    page = parse(drawn.figure)
    assert not [*page.all("script")] and "alert(1)" in page.one("h4").text
