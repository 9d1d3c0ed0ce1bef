"""Numbers on an axis and in words: scales, ticks, digits."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from m3i_jax.types import Array

LARGEST = 1e100  # beyond which no axis reaches: its ends have a finite difference
WIDE = 50  # a positive range whose ends differ by this factor is shown by its logarithm
MINUS = "\u2212"


class Scale(NamedTuple):
    """From values to coordinates: linear, or of the logarithm.

    low, high: values.  start, end: where these are, in units of the drawing.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float | Array) -> Array:
        """Coordinates: start + (end − start) (x − low)/(high − low), of log x where it is `log`."""
        x, low, high = (np.log10(v) if self.log else v for v in (value, self.low, self.high))
        return self.start + (self.end - self.start) * (x - low) / (high - low)


def spanning(
    values: Array, *, start: float, end: float, zero: bool = False, linear: bool = False
) -> Scale:
    """A scale on which all finite values lie, with a little room at both ends.

    zero: whether 0 is on it, too.  linear: never of the logarithm.
    """
    values = np.asarray(values, np.float64)
    values = np.clip(values[np.isfinite(values)], -LARGEST, LARGEST)
    if not len(values):
        return Scale(0.0, 1.0, start, end)
    low, high = float(values.min()), float(values.max())
    if not linear and not zero and low > 0 and high / low >= WIDE:
        room = (high / low) ** 0.04
        return Scale(low / room, high * room, start, end, log=True)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    least = low if zero and low == 0 else low - room
    most = high if zero and high == 0 else high + room
    if linear and low >= 0 and least < 0:  # what is never negative has no axis below 0
        least = 0.0
    return Scale(least, most, start, end)


def ticks(scale: Scale, *, most: int = 5) -> list[float]:
    """Round values within the scale, about `most` of them: multiples of 1, 2 or 5 times 10^k."""
    if scale.log:
        return _decades(scale, most)
    span = scale.high - scale.low
    if not (span > 0 and math.isfinite(span)):
        return [scale.low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(m * power for m in (1, 2, 5, 10, 20) if span / (m * power) <= most)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _decades(scale: Scale, most: int) -> list[float]:
    """Powers of ten, thinned out; with their doubles and fives where there are hardly two."""
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    inside = lambda x: scale.low <= x <= scale.high  # noqa: E731
    powers = [10.0**k for k in range(first, last + 1) if inside(10.0**k)]
    if len(powers) >= 3:
        return powers[:: -(-len(powers) // most)]
    finer = [float(f"{m}e{k}") for k in range(first, last + 1) for m in (1, 2, 5)]
    return [x for x in finer if inside(x)]


def number(value: float, *, unit: str = "", digits: int = 4) -> str:
    """A number in so many significant digits; of unit "share", in percent to one place.

    Whole numbers stay whole: 12 000, not 1.2e+04.
    """
    if not math.isfinite(value):
        return "not finite"
    if unit == "share":
        return f"{100 * value:.1f} %".replace("-", MINUS)
    if float(value).is_integer() and abs(value) < 1e15:
        grouped = f"{int(value):,}".replace(",", "\u202f")
        return grouped.replace("-", MINUS)
    size = abs(value)
    if 1e-4 <= size < 1e6:
        places = max(0, digits - 1 - math.floor(math.log10(size)))
        return f"{value:.{places}f}".replace("-", MINUS)
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}·10{_raised(int(power))}".replace("-", MINUS)


def measured(value: float, unit: str) -> str:
    """A number with its unit; shares are said in percent."""
    return number(value, unit=unit) if unit == "share" else f"{number(value)} {unit}".rstrip()


def tick(value: float, values: Sequence[float], *, unit: str = "") -> str:
    """A tick's label, with as many places as all of its axis need."""
    if unit == "share":
        value, values = 100 * value, [100 * v for v in values]
    size = max((abs(v) for v in values), default=0.0)
    if size >= 1e5 or 0 < size < 1e-3:
        return _short(value)
    mark = " %" if unit == "share" else ""
    return f"{value:.{_places(values)}f}{mark}".replace("-", MINUS)


def _places(values: Sequence[float]) -> int:
    """Places behind the point that tell all values apart from rounded ones."""
    return next((p for p in range(6) if all(abs(round(v, p) - v) < 1e-9 for v in values)), 6)


def _short(value: float) -> str:
    """12k, 3M, 2·10⁻⁵."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}".replace("-", MINUS)
    if not value:
        return "0"
    mantissa, _, power = f"{value:.1e}".partition("e")
    mantissa = mantissa.removesuffix(".0")
    said = f"10{_raised(int(power))}"
    return (said if mantissa == "1" else f"{mantissa}·{said}").replace("-", MINUS)


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
