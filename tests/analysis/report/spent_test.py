"""Every second of a run is a part of its bar, in the order of the log's kinds."""

import pytest

from m3i_jax.analysis.report import material, spent
from tests.analysis.report.places import parse, workdir

SPENT = {"starting": 20, "compiling": 40, "data": 30, "measuring": 0, "saving": 10}
ROW = {f"perf/seconds/{kind}": float(seconds) for kind, seconds in SPENT.items()}
LINE = {"step": 9, "train/loss": 1.0, "perf/seconds/steps": 300.0, "perf/seconds/elapsed": 500.0}


def run(folder, *lines, starts=1):
    place = workdir(folder, lines=lines)
    (start,) = (place / "starts.jsonl").read_text().splitlines()
    (place / "starts.jsonl").write_text(f"{start}\n" * starts)
    return material.read([place]).runs[0]


def test_the_parts_add_up_to_all_of_the_time_and_say_what_was_lost(tmp_path):
    of = run(tmp_path, LINE | ROW, {"step": 10, "train/loss": 1.0}, starts=3)
    parts = spent.parts(of)
    assert [(part.name, part.seconds) for part in parts] == [
        ("steps", 300), ("starting", 20), ("compiling", 40), ("data", 30), ("saving", 10),
        ("lost", 100),
    ]  # fmt: skip
    page = parse(spent.drawn(of))
    ends = [float(r.attributes["x"]) + float(r.attributes["width"]) for r in page.all("rect")]
    assert ends == pytest.approx([360, 384, 432, 468, 480, 600], abs=0.2)
    said = dict(
        zip((t.text for t in page.all("dt")), (d.text for d in page.all("dd")), strict=True)
    )
    assert said["steps that count"] == "60.0 %, 5m 00s"
    assert said["lost with a process, or between two starts: 3 starts"] == "20.0 %, 1m 40s"
    assert page.one("h4").text == "Where 8m 20s went"


@pytest.mark.parametrize(
    "wrong", [{}, {"perf/seconds/elapsed": float("nan")}, {"perf/seconds/steps": "much"}]
)
def test_what_is_not_known_is_not_drawn(wrong, tmp_path):
    assert spent.drawn(run(tmp_path, {"step": 1, "train/loss": 1.0} | wrong)) is None


def test_a_damaged_number_takes_no_other_with_it(tmp_path):
    line = LINE | ROW | {"perf/seconds/data": -5, "perf/seconds/elapsed": 0.0}
    assert [part.name for part in spent.parts(run(tmp_path, line))] == [
        "steps", "starting", "compiling", "saving",
    ]  # fmt: skip
