"""The range of a number, said where its default stands; `build.check` holds configs to it.

    def ema(*, momentum: Annotated[float, Range(0, 1)] = 0.995): ...

Calls from code are not checked: arrays and traced values have no place in a config.
"""

import math
from typing import Annotated, NamedTuple


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included unless said otherwise.

    above, below: whether `low`, or `high`, itself is left out.
    why: what is wrong outside, as the end of a sentence, such as "a share of the patches".
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    why: str = ""

    def holds(self, number: float) -> bool:
        """Whether `number` is inside."""
        over = number > self.low if self.above else number >= self.low
        under = number < self.high if self.below else number <= self.high
        return over and under

    def __str__(self) -> str:
        """Such as "more than 0 and less than 1: a share of the patches"."""
        low = f"more than {self.low:g}" if self.above else f"{self.low:g} or more"
        high = f"less than {self.high:g}" if self.below else f"at most {self.high:g}"
        if math.isinf(self.high):
            said = low
        elif math.isinf(self.low):
            said = high
        elif self.above or self.below:
            said = f"{low} and {high}"
        else:
            said = f"{self.low:g} to {self.high:g}"
        return f"{said}: {self.why}" if self.why else said


Share = Annotated[float, Range(0, 1)]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Count = Annotated[int, Range(1)]
CountOrOff = Annotated[int, Range(0)]  # 0 switches off
