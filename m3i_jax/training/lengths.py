"""How long something is, in a config: a number and its unit, "1600 epochs" or "5 percent"."""

import math
import re
from typing import Annotated, Any

from m3i_jax.build import ConfigError, likeliest
from m3i_jax.ranges import INT32, shown

UNITS = ("steps", "epochs", "samples", "percent", "minutes")
_NUMBER = re.compile(r"([+-]?(?:\d[\d.,]*(?:e[+-]?\d+)?)?)[\s_-]*(.*)", re.DOTALL)
EXPECTED = f"a number and one of {', '.join(UNITS)}"


class WithUnit:
    """A number, finite and not negative, and a unit, in two words."""

    explains = (int, float)  # values of other types that `expected` knows more about

    def __str__(self) -> str:
        """What it is."""
        return f"{EXPECTED}, such as '40 epochs'"

    def holds(self, text: str) -> bool:
        """Whether it is one."""
        return _split(text) is not None

    def expected(self, value: Any) -> str:
        """The end of a sentence about another text, or a number alone."""
        text = value if isinstance(value, str) else shown(value)
        number, word = _NUMBER.fullmatch(text[:80].strip()).groups()
        if not number:
            return str(self)
        number = number.replace(",", "")
        if not word:
            return f"{EXPECTED}: {number} what? '{number} epochs' or '{number} steps'"
        meant = likeliest(word, UNITS)
        better = f"{number} {meant}"
        hint = f"; did you mean '{better}'?" if meant and _split(better) else ""
        return EXPECTED + hint


Length = Annotated[str, WithUnit()]


def parse(
    length: str,
    *,
    batch: int | None = None,
    epoch: int | None = None,
    total: int | None = None,
) -> int:
    """Steps in a length such as "1600 epochs", "5000 steps", "2e6 samples" or "5 percent".

    Args:
      length: number and unit.
      batch: images per step, for samples and epochs.
      epoch: images per epoch.
      total: steps of the whole run, for percent.

    Returns:
      The nearest whole number of steps, at least 1 unless the length is 0. Epochs count images
      exactly: 40 epochs are round(40 · epoch / batch) steps, not 40 · floor(epoch / batch).

    Raises:
      ConfigError: it is no length, lacks a size, or is more than there can be.
    """
    if (parts := _split(length)) is None:
        raise ConfigError(f"{length!r} is not a length, expected {WithUnit().expected(length)}")
    number, unit = parts
    if unit == "minutes":
        raise ConfigError(
            f"{length!r} is counted in minutes, which only config.duration can be: m3i pretrain "
            "times the steps and makes steps of it"
        )
    if unit == "steps" and number != int(number):
        raise ConfigError(f"{length!r} is not a whole number of steps")
    needs = {"epochs": ("batch", "epoch"), "samples": ("batch",), "percent": ("total",)}
    sizes = {"batch": batch, "epoch": epoch, "total": total}
    for name in needs.get(unit, ()):
        if not sizes[name]:
            raise ConfigError(f"{length!r} is counted in {unit}, which needs the {name} size")
    if unit == "percent" and number > 100:
        raise ConfigError(f"{length!r} is more than the whole run")
    steps = {
        "steps": lambda: number,
        "epochs": lambda: number * epoch / batch,
        "samples": lambda: number / batch,
        "percent": lambda: number * total / 100,
    }[unit]()
    if steps > INT32:
        raise ConfigError(f"{length!r} is {steps:.3g} steps, expected at most {INT32}")
    return max(1, math.floor(steps + 0.5)) if number > 0 else 0


def known(*numbers: Any) -> bool:
    """Whether numbers of steps are numbers yet: in a program that is traced they are inputs."""
    return all(isinstance(number, int | float) for number in numbers)


def minutes(length: str) -> float | None:
    """The minutes of a length in minutes; None of any other."""
    parts = _split(length)
    return parts[0] if parts and parts[1] == "minutes" else None


def due(step: int, every: int) -> bool:
    """Whether `step` is one of every `every` steps; never where `every` is 0."""
    return every > 0 and step % every == 0


def _split(length: str) -> tuple[float, str] | None:
    """(number, unit) of a length; None of what is none."""
    try:
        text, word = length.split()
        number = float(text)
    except ValueError:
        return None
    unit = next((u for u in UNITS if word in (u, u.removesuffix("s"))), None)
    return (number, unit) if unit and math.isfinite(number) and number >= 0 else None
