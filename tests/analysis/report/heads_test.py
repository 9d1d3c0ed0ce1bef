"""Dots of heads and lines of blocks: where they are, what is said of them, what is shared."""

import numpy as np
import pytest

from m3i_jax.analysis.report import heads
from m3i_jax.analysis.report.heads import HEIGHT, WIDTH, Heads, Layers
from tests.analysis.report.curves_test import points
from tests.analysis.report.places import EVIL, parse

FIRST = Heads(
    "a", "c0", ["1", "2"], [[1.0, 3.0], [2.0, 6.0]], [[0.5, 2.5], [1.5, 5.5]], [[2, 4], [3, 7]]
)
SECOND = Heads("b", "c1", ["1", "2", "3"], [[1.0], [2.0], [10.0]])


def test_dots_are_where_block_and_value_say_on_axes_that_models_share():
    made = heads.heads([FIRST, SECOND], title="Distance", unit="pixels", number_of=3)
    low, high = 0.5 - 0.06 * 9.5, 10 + 0.06 * 9.5
    low = max(low, 0.0)
    for i, (drawn, of) in enumerate(zip(made, (FIRST, SECOND), strict=True)):
        page = parse(drawn.figure)
        assert page.one("svg").attributes["data-chart"] == str(3 + i)
        places = [(b, v) for b, row in enumerate(of.heads, 1) for v in row]
        dots = points(page.one("path", class_="dots").attributes["d"].replace("h0", ""))
        assert len(dots) == len(places) and drawn.script["heads"] == of.heads
        for dot, (block, value) in zip(dots, places, strict=True):
            x = 44 + (block - 0.5) / 3 * (WIDTH - 10 - 44)
            y = (HEIGHT - 22) - (value - low) / (high - low) * (HEIGHT - 30)
            np.testing.assert_allclose(dot, [x, y], atol=0.051)
        mean = points(page.one("path", class_="line").attributes["d"])
        right = (HEIGHT - 22) - (np.mean(of.heads[0]) - low) / (high - low) * (HEIGHT - 30)
        assert mean[0][1] == pytest.approx(right, abs=0.051) and len(mean) == len(of.heads)
        assert len([*page.all("path", class_="other")]) == 1


def test_the_script_knows_values_and_intervals():
    made = heads.heads([FIRST, SECOND], title="Distance", unit="pixels", number_of=0)
    script = made[0].script
    assert (
        script["low"] == FIRST.low and script["high"] == FIRST.high and script["unit"] == "pixels"
    )
    assert script["blocks"] == ["1", "2"] and made[1].script["low"] == []
    assert script["x"] == [0.5, 3.5, 44, WIDTH - 10] and script["y"][2:] == [HEIGHT - 22, 8, 0]


def test_the_table_has_every_head_and_the_mean():
    made = heads.heads([FIRST], title="Distance", unit="pixels", number_of=0)
    rows = [[cell.text for cell in row.inside] for row in parse(made[0].figure).all("tr")]
    assert rows == [
        ["block", "mean", "head 1", "head 2"],
        ["1", "2", "1", "3"],
        ["2", "4", "2", "6"],
    ]


def test_shares_are_said_in_percent():
    made = heads.heads(
        [FIRST._replace(heads=[[0.25], [0.5]], low=(), high=())],
        title="x",
        unit="share",
        number_of=0,
    )
    page = parse(made[0].figure)
    assert [t.text for t in page.all("text") if "%" in t.text] and not [
        *page.all("span", class_="numbers")
    ]
    assert [cell.text for cell in [*page.all("tr")][1].inside] == ["1", "25.0 %", "25.0 %"]
    line = Layers("a", "c0", ["x"], [0.25], [0.2], [0.3])
    drawn = heads.layers([line], title="x", unit="share", number_of=0)
    assert drawn.script["marks"][0][2] == "a, block x: 25.0 % (20.0 % to 30.0 %)"


@pytest.mark.parametrize(
    "models, called",
    [
        (["mae@9#online", "m3i@9#online"], ["mae", "m3i"]),
        (["mae@9#online", "m3i@9#online", "pixels"], ["mae", "m3i", "pixels"]),
        (["mae@9", "m3i@8"], ["mae@9", "m3i@8"]),
        (["mae@9", "mae"], ["mae@9", "mae"]),
    ],
)
def test_a_step_that_all_lines_have_is_not_at_their_ends(models, called):
    lines = [Layers(model, "c0", ["x"], [0.25]) for model in models]
    page = parse(heads.layers(lines, title="x", unit="", number_of=0).figure)
    assert [text.text for text in page.all("text", class_="label")] == called


def test_means_are_as_they_were_found():
    assert heads.means(FIRST) == [2.0, 4.0] and heads.means(FIRST._replace(means=[7, 8])) == [7, 8]


def test_lines_of_models_share_a_drawing_and_have_their_names_at_their_ends():
    lines = [
        Layers("a", "c0", ["x", "y"], [0.0, 1.0], [-0.5, 0.5], [0.5, 1.5]),
        Layers(EVIL, "grey", ["1", "2", "3"], [1.0, 2.0, 3.0]),
    ]
    drawn = heads.layers(lines, title="Rank", unit="", number_of=4)
    page = parse(drawn.figure)
    paths = [points(path.attributes["d"]) for path in page.all("path", class_="line")]
    assert [len(path) for path in paths] == [2, 3] and paths[0][0][0] == paths[1][0][0]
    labels = [text.text for text in page.all("text", class_="label")]
    assert labels[0] == "a" and labels[1].startswith("</script>") and not [*page.all("script")]
    assert len([*page.all("line", class_="whisker")]) == 2
    assert drawn.script["marks"][1][2] == "a, block y: 1 (0.5000 to 1.500)"
    rows = [[cell.text for cell in row.inside] for row in page.all("tr")]
    assert rows[1] == ["x", "0", "–"] and rows[3] == ["1", "–", "1"]
