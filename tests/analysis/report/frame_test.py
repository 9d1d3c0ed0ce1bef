"""Frames: labels keep apart and inside, axes have their ticks where the scale says."""

import itertools
import pathlib
import re

import numpy as np
import pytest

from m3i_jax.analysis.report import frame
from m3i_jax.analysis.report.scale import Scale
from tests.analysis.report.places import parse


@pytest.mark.parametrize("seed", range(5))
def test_labels_keep_apart_within_the_drawing_and_in_order(seed):
    places = np.random.default_rng(seed).uniform(0, 60, 6).tolist()
    moved = frame.apart(places, least=10, low=0, high=60)
    pairs = itertools.pairwise(sorted(moved))
    assert all(b - a >= 10 - 1e-9 for a, b in pairs)
    assert min(moved) >= -1e-9 and max(moved) <= 60 + 1e-9
    assert np.argsort(moved).tolist() == np.argsort(places).tolist()


def test_labels_that_do_not_collide_stay():
    assert frame.apart([30.0, 5.0], least=10, low=0, high=100) == [30.0, 5.0]
    assert frame.apart([], least=10, low=0, high=100) == []


def test_ticks_stand_where_their_values_are():
    of = frame.box(340, 184, left=44)
    x, y = Scale(0, 800, of.left, of.right), Scale(0, 1, of.bottom, of.top)
    page = parse(f"<svg>{frame.axes(of, x, y)}</svg>")
    across = {t.text: t for t in page.all("text", class_="tick") if t.attributes["y"] == "176"}
    assert {"200", "400", "600", "800", "step"} <= across.keys()
    assert float(across["400"].attributes["x"]) == pytest.approx(44 + (340 - 10 - 44) / 2, abs=0.05)
    heights = [float(line.attributes["y1"]) for line in page.all("line", class_="grid")]
    assert heights == pytest.approx(
        [162 - 154 * v for v in (0, 0.2, 0.4, 0.6, 0.8, 1.0)][: len(heights)], abs=0.05
    )


def test_long_labels_are_cut_and_colours_begin_anew():
    assert frame.cut("abcdefghij", 5 * frame.LETTER) == "abcd…" and frame.cut("ab", 0) == "ab"
    assert frame.tone(0) == "c0" and frame.tone(frame.TONES) == "c0"
    tones = [frame.tone(number) for number in range(frame.TONES)]
    style = (pathlib.Path(frame.__file__).parent / "style.css").read_text()
    rules = re.findall(
        r"^(\.[^{}]+) \{ (--(?:own|dash): [^;]+);", style.replace("} .", "}\n."), re.M
    )
    looks = {tone: [said for of, said in rules if f".{tone}" in of.split(", ")] for tone in tones}
    assert len({tuple(said) for said in looks.values()}) == frame.TONES, "no two look alike"
    assert frame.at(3.04) == "3" and frame.at(-2.26) == "-2.3"
