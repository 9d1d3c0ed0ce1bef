"""Dots and intervals of models: where they are, and what is said of them."""

import pytest

from m3i_jax.analysis.report import intervals
from m3i_jax.analysis.report.intervals import ROW, WIDTH, Measured
from tests.analysis.report.places import EVIL, parse

ROWS = [Measured("a", "c0", 0.5, (0.4, 0.6), True), Measured(EVIL, "grey", 0.2)]


def test_dots_and_whiskers_are_where_the_numbers_say():
    drawn = intervals.draw(ROWS, title="Linear probe", unit="share", number_of=2)
    page = parse(drawn.figure)
    low, high = 0.2 - 0.06 * 0.4, 0.6 + 0.06 * 0.4
    x = lambda v: 14 + (v - low) / (high - low) * (WIDTH - 54 - 14)  # noqa: E731
    dots = [(float(c.attributes["cx"]), float(c.attributes["cy"])) for c in page.all("circle")]
    assert dots == [
        (pytest.approx(x(0.5), abs=0.051), 8 + 23),
        (pytest.approx(x(0.2), abs=0.051), 8 + ROW + 23),
    ]
    whisker = page.one("line", class_="whisker").attributes
    assert float(whisker["x1"]) == pytest.approx(x(0.4), abs=0.051)
    assert float(whisker["x2"]) == pytest.approx(x(0.6), abs=0.051)
    assert drawn.script["marks"][0][2] == "a: 50.0 % (95 %: 40.0 % to 60.0 %)"


def test_names_are_text_and_the_best_stands_out():
    page = parse(intervals.draw(ROWS, title="x", unit="share", number_of=0).figure)
    assert not [*page.all("script")]
    assert [t.text for t in page.all("text", class_="strong")] == ["50.0 %"]
    assert "a: 50.0 % (95 %: 40.0 % to 60.0 %)" in page.one("svg").attributes["aria-label"]
