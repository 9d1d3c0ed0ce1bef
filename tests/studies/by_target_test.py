"""Tables by target: order, intervals or ranges, what is missing; a picture of all."""

from types import SimpleNamespace

import pytest
from PIL import Image

from m3i_jax.evaluation.results import Result
from m3i_jax.studies import by_target
from m3i_jax.studies.study import Case, Collected, Study

LINEAR = "eval/linear/top1"


def result(top1, *, branch="online", step=7, seed=0):
    protocol, counts = dict(seed=seed, tera=0.7), {"train": 50, "test": 20}
    ends = {LINEAR: [top1 - 0.1, top1 + 0.1]}
    return Result({LINEAR: top1}, branch, step, protocol, counts, intervals=ends)


def case(name):
    return Case(name, "labels", (), SimpleNamespace(batch=64))


@pytest.fixture
def studies():
    first = Study("Texts", (case("classification"), case("clip")), (), {"linear": LINEAR})
    return [first, Study("Pixels", (case("mae"), case("cim")), (), {"linear": LINEAR})]


@pytest.fixture
def measured():
    several = [result(0.5), result(0.7, seed=1)]
    runs = {"classification": [result(0.4)], "clip": several, "mae": [result(0.3)], "cim": []}
    beside = {"untrained": [result(0.2, branch="untrained", step=0)], "pixels": []}
    return Collected(runs, {("baselines", branch): found for branch, found in beside.items()})


def test_one_seed_has_its_interval_and_several_their_ends(studies, measured):
    one = by_target.number(measured.cases["classification"], LINEAR)
    assert one.value == pytest.approx(40) and one.ends == pytest.approx((30, 50))
    two = by_target.number(measured.cases["clip"], LINEAR)
    assert two.value == pytest.approx(60) and two.ends == pytest.approx((50, 70))
    assert by_target.number([], LINEAR) is None


def test_a_table_for_each_target_the_best_first_and_what_is_missing(studies, measured):
    text = by_target.markdown(studies, measured)
    places = [text.index(part) for part in ("untrained", "**Texts**", "`clip`", "`classification`")]
    assert places == sorted(places)
    assert "| `clip` | labels | 7 | 448 | 60.0 (50.0–70.0) |" in text
    assert "Not run yet, or failed: `cim`." in text
    assert "3 methods, seeds of each: 1 to 2" in text
    # 10 to 30 % untrained; 30 to 50 % by labels, 20 to 40 by pixels, 50 to 70 the seeds of texts.
    assert "| linear | untrained | 1: `clip` | 0 | 2 |" in text
    assert "| linear | supervised | 0 | 0 | 3 |" in text


def test_a_picture_has_a_line_for_each(studies, measured, tmp_path):
    path = by_target.plot(studies, measured, tmp_path / "all.png")
    with Image.open(path) as image:
        assert image.size[0] > 800
