"""Names and colours of models, and the numbers of charts."""

from pathlib import Path

import pytest

from m3i_jax.analysis.report.frame import Drawn
from m3i_jax.analysis.report.markup import Markup
from m3i_jax.analysis.report.material import Run
from m3i_jax.analysis.report.sheet import Sheet, baseline


@pytest.fixture
def sheet():
    return Sheet([Run("mae", Path("runs/mae")), Run("mae2", Path("/x/mae2"))])


@pytest.mark.parametrize(
    "model, short, tone",
    [
        ("mae", "mae", "c0"),
        ("runs/mae@5000", "mae@5000", "c0"),
        ("runs/mae#online", "mae#online", "c0"),
        ("mae@40 pool=cls", "mae@40 pool=cls", "c0"),
        ("/x/mae2@7", "mae2@7", "c1"),
        ("mae2", "mae2", "c1"),
        ("maefoo", "maefoo", "c2"),
        ("vit.safetensors", "vit.safetensors", "c2"),
        ("pixels", "pixels", "grey"),
        ("untrained:runs/mae", "untrained mae", "grey"),
        ("untrained:vit_b16", "untrained vit_b16", "grey"),
        ("mae#untrained", "mae#untrained", "grey"),
    ],
)
def test_models_have_the_colour_of_their_run_or_one_of_their_own(model, short, tone, sheet):
    assert sheet.short(model) == short and sheet.tone(model) == tone
    assert baseline(model) == (tone == "grey")


def test_new_models_get_the_next_colours_once(sheet):
    assert [sheet.tone(name) for name in ("x", "y", "x")] == ["c2", "c3", "c2"]
    assert sheet.names == ["mae", "mae2", "x", "y"]


def test_charts_are_numbered_and_equal_steps_said_once(sheet):
    for i in range(3):
        assert sheet.next == i
        lines = [{"steps": [1, 2]}, {"steps": [i]}]
        assert sheet.take(Drawn(Markup(f"<{i}>"), {"lines": lines})) == f"<{i}>"
    script = sheet.script()
    assert script["steps"] == [[1, 2], [0], [1], [2]] and len(script["charts"]) == 3
    assert [line["steps"] for line in script["charts"][2]["lines"]] == [0, 3]
