"""Scales against the formula, ticks against what makes them round, numbers as one reads them."""

import math

import numpy as np
import pytest

from m3i_jax.analysis.report.scale import Scale, number, spanning, tick, ticks


def test_coordinates_are_those_of_the_formula():
    linear, log = Scale(2, 10, 30, 130), Scale(0.1, 1000, 100, 20, log=True)
    for value in (2, 3.5, 10):
        assert linear(value) == pytest.approx(30 + (value - 2) / 8 * 100, abs=1e-12)
    for value in (0.1, 1, 42, 1000):
        share = math.log(value / 0.1) / math.log(1000 / 0.1)
        assert log(value) == pytest.approx(100 - 80 * share, abs=1e-9)
    np.testing.assert_allclose(linear(np.array([2.0, 6.0])), [30, 80])


def test_a_scale_spans_what_is_finite_and_is_of_logarithms_only_where_they_say_more():
    wide = spanning(np.array([1e-3, 1.0, np.nan, np.inf]), start=0, end=1)
    assert wide.log and wide.low < 1e-3 and 1 < wide.high < 1.5
    assert not spanning(np.array([0.0, 1.0]), start=0, end=1).log
    assert not spanning(np.array([1e-3, 1.0]), start=0, end=1, linear=True).log
    assert spanning(np.array([0.01, 1.0]), start=0, end=1, linear=True).low == 0.0
    assert (
        spanning(np.array([3.0, 3.0]), start=0, end=1).low
        < 3
        < spanning(np.array([3.0]), start=0, end=1).high
    )
    assert spanning(np.array([np.nan]), start=0, end=1)[:2] == (0.0, 1.0)
    assert spanning(np.array([-2.0, -1.0]), start=0, end=1, zero=True).high == 0.0


@pytest.mark.parametrize(
    "low, high", [(0, 1), (-3.2, 7.7), (0.0123, 0.0131), (1, 40000), (-1e-9, 1e-9), (5, 6)]
)
def test_ticks_are_round_few_and_within(low, high):
    scale = Scale(low, high, 0, 1)
    found = ticks(scale, most=5)
    assert 2 <= len(found) <= 6 and all(low - 1e-12 <= x <= high + 1e-12 for x in found)
    steps = np.diff(found)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    mantissa = float(f"{steps[0]:.6e}".partition("e")[0])
    assert round(mantissa, 4) in (1, 2, 5)


def test_ticks_of_logarithms_are_powers_of_ten_or_their_doubles_and_fives():
    assert ticks(Scale(0.5, 2e4, 0, 1, log=True)) == [1, 10, 100, 1000, 10000]
    assert ticks(Scale(0.15, 3, 0, 1, log=True)) == [0.2, 0.5, 1, 2]
    assert len(ticks(Scale(1e-9, 1e9, 0, 1, log=True), most=5)) <= 5
    assert ticks(Scale(1, 1, 0, 1)) == [1]


@pytest.mark.parametrize(
    "value, unit, said",
    [
        (0.83061, "share", "83.1 %"),
        (12000, "", "12\u202f000"),
        (2.20161, "", "2.202"),
        (0.000123456, "", "0.0001235"),
        (5.037e-9, "", "5.037·10⁻⁹"),
        (-0.07177, "", "−0.07177"),
        (1234567.5, "", "1.235·10⁶"),
        (0.0, "", "0"),
        (math.inf, "", "not finite"),
        (-0.5, "share", "−50.0 %"),
    ],
)
def test_numbers_are_said_in_four_digits(value, unit, said):
    assert number(value, unit=unit) == said


def test_ticks_of_an_axis_have_as_many_places():
    values = [0.0, 0.25, 0.5]
    assert [tick(x, values) for x in values] == ["0.00", "0.25", "0.50"]
    assert tick(0.2, [0.2, 0.4], unit="share") == "20 %"
    assert tick(120000, [0, 120000]) == "120k" and tick(0, [0, 120000]) == "0"
    assert tick(2e-5, [2e-5]) == "2·10⁻⁵" and tick(1e-4, [1e-4]) == "10⁻⁴"
