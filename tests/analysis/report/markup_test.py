"""Whatever is no markup is escaped: as text, in attributes, for the script."""

import html
import json

import pytest

from m3i_jax.analysis.report.markup import Markup, clean, data, element, joined
from tests.analysis.report.places import BYTES, EVIL, parse


@pytest.mark.parametrize("text", [EVIL, BYTES, "a\ud800b", "<b>", "&amp;", "'\"`", "\u202eabc"])
def test_no_text_becomes_markup(text):
    made = element("p", text, title=text, data_x=text)
    page = parse(made)
    (only,) = page.all("p")
    assert len(page.inside) == 1 and not only.inside
    assert only.text == only.attributes["title"] == only.attributes["data-x"]
    assert only.text.strip() == clean(text)
    made.encode()  # any text is one that a file can hold
    assert not any(ord(letter) < 32 for letter in made)


def test_clean_text_is_one_line_without_tricks_and_not_endless():
    assert clean("a\n\t b\x00\x1b") == "a b��" and clean("\u202eabc\u200b") == "abc"
    assert clean(BYTES) == "�� strange".replace("�", "?")
    assert clean("x" * 1000, most=10) == "x" * 9 + "…" and clean(7) == "7"
    assert clean("naïve 数 λ") == "naïve 数 λ"


def test_blanks_at_the_ends_part_what_is_beside():
    made = joined("Values ", element("b", "of x"), " ")
    assert made == "Values <b>of x</b> " and joined("  ") == " "


def test_elements_nest_and_say_their_attributes():
    made = element("a", "x", element("i", class_="chip"), None, href="#y", hidden=True, title=None)
    assert made == '<a href="#y" hidden>x<i class="chip"></i></a>'
    assert element("img", alt="", src=Markup("data:,")) == '<img alt="" src="data:,">'
    assert joined("a<b", Markup("<b>"), None) == "a&lt;b<b>"


def test_no_value_ends_the_script_that_it_is_for():
    value = {"</script>": ["<!--", "&", "\u2028", EVIL.replace("\x00", "")]}
    made = data(value, name="x")
    inside = made[made.index(">") + 1 : made.rindex("</script>")]
    assert "<" not in inside and "&" not in inside and json.loads(inside) == value
    assert html.unescape(inside) == inside
    with pytest.raises(ValueError, match="JSON"):
        data(float("nan"), name="x")
