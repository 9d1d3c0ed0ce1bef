"""Series hold the numbers of the file; smoothing is compared with its formula in plain Python."""

import math
from pathlib import Path

import numpy as np
import pytest

from m3i_jax.analysis.report import series
from m3i_jax.analysis.report.material import Run
from tests.analysis.report.places import metrics


def runs(*lines):
    return [Run(f"run {i}", Path("/"), metrics=of) for i, of in enumerate(lines)]


def chart(families, name):
    return next(c for f in families for c in (*f.charts, *f.more) if c.name == name)


def test_numbers_are_those_of_the_file_and_branches_share_a_chart():
    families = series.families(runs(metrics(), metrics(20)))
    loss = chart(families, "train/loss")
    assert [line.model for line in loss.lines] == [0, 1] and loss.smoothed and not loss.linear
    assert loss.lines[0].steps.tolist() == list(range(1, 41))
    assert loss.lines[0].values.tolist() == [2.0 / step for step in range(1, 41)]
    assert loss.lines[1].last == (20, 0.1) and loss.lines[1].high == (1, 2.0)
    knn = chart(families, "probe/knn/top1")
    assert [(line.branch, line.model) for line in knn.lines][:2] == [("ema", 0), ("ema", 1)]
    assert not knn.smoothed and knn.linear and knn.unit == "share"
    assert chart(families, "health/pixels/spread").limit == 0.2
    titles = [family.title for family in families]
    assert titles[0] == "Loss" and titles[-1] == "Speed"


def test_each_metric_is_in_one_family_only():
    families = series.families(runs(metrics(**{"odd name": 1.0, "train/x/regularizer": 0.5})))
    names = [c.name for f in families for c in (*f.charts, *f.more)]
    assert len(names) == len(set(names)) and {"odd name", "train/x/regularizer"} <= {*names}
    assert families[-1].title == "Other"


def test_what_is_not_finite_is_counted_and_what_is_no_number_left_out():
    lines = [
        {"step": 1, "x": 1.0, "t": "text", "b": True},
        {"step": 2, "x": math.nan},
        {"step": 2, "x": math.inf},
        {"step": 3, "x": 2},
        {"step": 3, "x": 3},
        {"step": 4, "x": None, "y": math.nan},
    ]
    families = series.families(runs(lines))
    assert [c.name for f in families for c in f.charts] == ["x"]
    (line,) = chart(families, "x").lines
    assert line.steps.tolist() == [1, 3] and line.values.tolist() == [1.0, 3.0] and line.lost == 1


def test_long_runs_are_thinned_and_keep_their_ends_and_extremes():
    lines = [{"step": i, "x": float(i % 7)} for i in range(1, 10_001)]
    lines[4321]["x"] = 99.0
    (line,) = chart(series.families(runs(lines)), "x").lines
    assert len(line.steps) <= series.MOST and line.high == (4322, 99.0)
    assert (line.steps[0], line.steps[-1]) == (1, 10_000)
    values = {entry["step"]: entry["x"] for entry in lines}
    assert all(values[s] == v for s, v in zip(line.steps.tolist(), line.values, strict=True))
    assert np.diff(line.steps).max() <= 10_000 / series.MOST + 1


def test_many_lines_have_fewer_points_each():
    lines = [{"step": i} | {f"m{k}": 1.0 for k in range(120)} for i in range(1, 301)]
    families = series.families(runs(lines, lines, lines, lines))
    points = sum(len(l.steps) for f in families for c in (*f.charts, *f.more) for l in c.lines)
    assert points <= series.POINTS


def test_smoothing_is_the_weighted_mean_of_the_past():
    rng = np.random.default_rng(0)
    steps, values = np.cumsum(rng.integers(1, 9, 30)), rng.normal(size=30)
    found = series.smooth(steps, values, constant=5.0)
    for i in range(30):
        weights = [math.exp(-(steps[i] - steps[j]) / 5.0) for j in range(i + 1)]
        right = sum(w * y for w, y in zip(weights, values, strict=False)) / sum(weights)
        assert found[i] == pytest.approx(right, rel=1e-12)
    assert series.smooth(steps, values, constant=0.0) is not found
    np.testing.assert_array_equal(series.smooth(steps, values, constant=0.0), values)
