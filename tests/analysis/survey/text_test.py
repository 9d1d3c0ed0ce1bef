"""What a terminal shows fits into 80 columns, whatever files are called."""

from m3i_jax.analysis.survey.text import WIDTH, columns, fitted, text
from m3i_jax.data.survey.doubts import doubts
from tests.data.survey.figures_test import found  # noqa: F401, a fixture


def test_every_line_fits_and_nothing_is_lost(found):  # noqa: F811
    strange = {"鳥" * 60: 9, "\x1b[31mred\n": 3, "x" * 99: 1}
    train = found.splits[0]._replace(classes=strange)
    of = found._replace(name="鳥" * 70, splits=(train, found.splits[1]))
    shown = text(of, doubts(of))
    assert max(columns(line) for line in shown.splitlines()) <= WIDTH
    assert "\x1b" not in shown and "To think about:" in shown
    assert "8 of 12 images can be read" in " ".join(shown.split())
    assert "To think" not in text(found, [])


def test_names_are_cut_or_filled_up():
    assert fitted("ant", 5) == "ant  " and fitted("abcdef", 5) == "abcd…"
    assert columns(fitted("鳥鳥鳥", 5)) == 5 and fitted("鳥鳥鳥", 6) == "鳥鳥鳥"
