"""The range of a number, said where its default stands; `build.check` holds configs to it.

    def ema(*, momentum: Annotated[float, Range(0, 1)] = 0.995): ...
    def crops(*, scale: Annotated[tuple[Share, Share], Ascending()] = (0.08, 1.0)): ...

An annotation is what typing has for it: `tuple[Depth, ...]`, `dict[str, Weight]`, `Width | None`.
Calls from code are not checked: arrays and traced values have no place in a config.

The upper ends leave out what no machine can run, so that nothing huge is ever traced.
"""

import math
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple


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
        lowest, highest = said(self.low), said(self.high)
        low = f"more than {lowest}" if self.above else f"{lowest} or more"
        high = f"less than {highest}" if self.below else f"at most {highest}"
        if math.isinf(self.high):
            span = low
        elif math.isinf(self.low):
            span = high
        elif self.above or self.below:
            span = f"{low} and {high}"
        else:
            span = f"{lowest} to {highest}"
        return f"{span}: {self.why}" if self.why else span


class Ascending(NamedTuple):
    """Numbers of which none is less than the one before; `least` of them or more."""

    why: str = ""
    least: int = 0

    def holds(self, numbers: Sequence[float]) -> bool:
        """Whether they ascend."""
        ascend = all(a <= b for a, b in zip(numbers, numbers[1:], strict=False))
        return ascend and len(numbers) >= self.least

    def __str__(self) -> str:
        """The end of a sentence."""
        count = f"{self.least} or more " if self.least else ""
        return f"{count}numbers in ascending order" + (f": {self.why}" if self.why else "")


WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "True or False",
    tuple: "a list",
    list: "a list",
    dict: "a block of keys",
    type(None): "None",
}
INT32 = 2**31 - 1
LARGEST = 10**6  # of what has no bound of its own: its square is far from where float32 ends

Share = Annotated[float, Range(0, 1)]
HeldOut = Annotated[float, Range(0, 1, above=True, below=True, why="both parts need records")]
Kept = Annotated[float, Range(0.1, 1)]  # share of the short side of an image that is looked at
PositiveShare = Annotated[float, Range(1e-3, 1, why="a share that is seen")]
Rate = Annotated[float, Range(0, 1, below=True, why="at 1 nothing is left")]  # that is dropped
Memory = Annotated[float, Range(0, 1, below=True, why="at 1 a mean of the past never moves")]
Dropped = Annotated[float, Range(0, 0.9, why="with more hardly anything is left to train")]
Smoothing = Annotated[float, Range(0, 0.9, why="with more hardly anything of the label is left")]
Positive = Annotated[float, Range(1e-9, LARGEST, why="with less it is 0 for float32")]
Gain = Annotated[float, Range(1e-9, 10, why="what is multiplied by it is of about 1")]
NotNegative = Annotated[float, Range(0, LARGEST)]
Weight = Annotated[float, Range(0, 10_000, why="with more nothing else counts for float32")]
PositiveWeight = Annotated[float, Range(1e-6, 10_000, why="beyond it only one of two counts")]
Signed = Annotated[float, Range(-LARGEST, LARGEST)]
# MoCo's probe has 30, Barlow Twins' and SimCLR's largest batches about 39.
HIGHEST_RATE = 50
LearningRate = Annotated[
    float, Range(1e-12, HIGHEST_RATE, why="a step is that many times its gradient")
]
LearningRateOrZero = Annotated[float, Range(0, HIGHEST_RATE)]
Stretch = Annotated[float, Range(1, 100, why="a schedule outlasts the run, or ends with it")]
Hidden = Annotated[
    float, Range(0, 1, above=True, below=True, why="a mask that hides nothing, or all, is none")
]
# Of a softmax. Below, float32 has no exponential; above, all is alike.
Temperature = Annotated[float, Range(1e-3, 20, why="logits are divided by it")]
Epsilon = Annotated[float, Range(1e-15, 0.01, why="it keeps what is divided by from 0")]

Count = Annotated[int, Range(1, INT32)]
Queue = Annotated[int, Range(1, 2**22, why="a device holds all of it")]  # of codes
CountOrOff = Annotated[int, Range(0, INT32)]  # 0 switches off
Seed = Annotated[int, Range(0, 2**32 - 1)]
Depth = Annotated[int, Range(1, 1000)]  # of blocks that are stacked, and compiled once
Blocks = Annotated[int, Range(1, 64)]  # that are compiled one by one
Local = Annotated[int, Range(0, 64)]  # small views of an image
Width = Annotated[int, Range(1, 2**17)]
Head = Annotated[int, Range(2, 2**17, why="a code of one number is its sign")]  # width of codes
Vocabulary = Annotated[int, Range(2, 2**22, why="a vocabulary has two tokens or more")]
Heads = Annotated[int, Range(1, 1024)]
Ratio = Annotated[float, Range(1e-3, 64)]  # of a hidden layer to the width
Pixels = Annotated[int, Range(1, 4096)]  # side of an image or of a patch
Kernel = Annotated[int, Range(1, 127)]


def refusal(value: Any, annotation: Any, what: str) -> str | None:
    """What is wrong with a value, as a sentence; None where the annotation allows it.

    What is not plain data, or not annotated, is allowed, but for NaN and infinities.

    what: how to name the value, such as `config.optimizer.lr`.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"{what} is {value}, which is not a finite number"
    choices = [_unwrapped(option) for option in options(annotation)]
    kinds = [_kind(inner) for inner, _ in choices]
    if None in kinds:
        code = any(typing.get_origin(inner) is Callable for inner, _ in choices)
        return f"{what} is {shown(value)}, which no config can say" if code and value else None
    fitting = [choice for choice, kind in zip(choices, kinds, strict=True) if _fits(value, kind)]
    if not fitting:
        for mark in (mark for _, marks in choices for mark in marks):
            if type(value) in getattr(mark, "explains", ()):
                return f"{what} is {shown(value)}, expected {mark.expected(value)}"
        names = " or ".join(dict.fromkeys(WORDS[kind] for kind in kinds))
        return f"{what} is {shown(value)}{_quoted(value, kinds)}, expected {names}"
    long = [choice for choice in fitting if _length(choice[0]) in (None, _size(value))]
    if not long:
        counts = " or ".join(str(_length(inner)) for inner, _ in fitting)
        return f"{what} is {shown(value)}, expected {counts} values"
    refusals = [_inside(value, inner, marks, what) for inner, marks in long]
    return None if None in refusals else refusals[-1]


def _inside(value: Any, inner: Any, marks: tuple, what: str) -> str | None:
    """What is wrong inside a value of the right type."""
    arguments, kind = typing.get_args(inner), _kind(inner)
    if kind is tuple and arguments:
        each = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        parts = zip(value, each, (f"{what}[{i}]" for i in range(len(value))), strict=True)
    elif kind is dict and arguments:
        parts = ((x, arguments[1], f"{what}.{name}") for name, x in value.items())
    else:
        parts = ()
    if wrong := next(filter(None, (refusal(*part) for part in parts)), None):
        return wrong
    for mark in marks:
        if hasattr(mark, "holds") and not mark.holds(value):
            expected = mark.expected(value) if hasattr(mark, "expected") else mark
            return f"{what} is {shown(value)}, expected {expected}"
    return None


def options(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of an annotation: (int, None) of `int | None`."""
    inner, marks = _unwrapped(annotation)
    if typing.get_origin(inner) not in (typing.Union, types.UnionType):
        return (annotation,)
    return tuple(
        Annotated[option, *marks] if marks and option is not type(None) else option
        for alternative in typing.get_args(inner)
        for option in options(alternative)
    )


def unlimited(annotation: Any) -> Iterator[Any]:
    """The numbers in an annotation that have no range; and tuples and dicts that may hold such."""
    for option in options(annotation):
        inner, marks = _unwrapped(option)
        arguments, kind = typing.get_args(inner), _kind(inner)
        if kind in (int, float) and not any(isinstance(mark, Range) for mark in marks):
            yield option
        elif kind in (tuple, list) and not arguments:
            yield option
        elif kind is tuple:
            yield from (x for a in arguments if a is not Ellipsis for x in unlimited(a))
        elif kind is dict:
            yield from (x for a in arguments for x in unlimited(a))


def described(annotation: Any) -> str:
    """What a value may be, such as "int, 1 to 64, or None"; "" for what no config can say."""
    words = list(dict.fromkeys(filter(None, map(_described, options(annotation)))))
    if words in ([], ["None"]):
        return ""
    *first, last = words
    return f"{'; '.join(first)}; or {last}" if first else last


def said(number: float) -> str:
    """A number for a sentence, counts in full."""
    return f"{number:d}" if isinstance(number, int) else f"{number:g}"


def shown(value: Any) -> str:
    """A value for a sentence, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole numbers of thousands of digits
        text = "a number of more digits than can be written"
    return text if len(text) <= 80 else f"{text[:60]}…"


def _unwrapped(annotation: Any) -> tuple[Any, tuple]:
    """What is annotated, and the marks that it has."""
    if typing.get_origin(annotation) is Annotated:
        inner, *marks = typing.get_args(annotation)
        return inner, tuple(marks)
    return annotation, ()


def _kind(inner: Any) -> type | None:
    """The plain type that an annotation stands for, or None where it is of no plain data."""
    kind = typing.get_origin(inner) or inner
    return kind if kind in (bool, int, float, str, tuple, list, dict, type(None)) else None


def _described(option: Any) -> str:
    """One alternative of an annotation, in words."""
    inner, marks = _unwrapped(option)
    kind, arguments = _kind(inner), typing.get_args(inner)
    held = [str(mark) for mark in marks if hasattr(mark, "holds")]
    if kind is None or kind is str and held:
        return ", ".join(held)
    if kind is tuple and arguments and arguments[-1] is Ellipsis:
        name = f"a list of ({described(arguments[0])})"
    elif kind is tuple and arguments:
        each = [f"({described(argument)})" for argument in arguments]
        name = f"{len(each)} of {each[0]}" if len({*each}) == 1 else f"[{', '.join(each)}]"
    elif kind is dict and arguments:
        name = f"a block of ({described(arguments[1])})"
    else:
        names = {str: "text", dict: "a block", bool: "True or False", tuple: "a list"}
        name = names.get(kind) or _name(kind)
    return ", ".join([name, *held])


def _length(inner: Any) -> int | None:
    """How many values a tuple has, where its annotation says so."""
    arguments = typing.get_args(inner)
    fixed = _kind(inner) is tuple and arguments and arguments[-1] is not Ellipsis
    return len(arguments) if fixed else None


def _size(value: Any) -> int | None:
    return len(value) if isinstance(value, tuple | list) else None


def _fits(value: Any, kind: type) -> bool:
    """Whether a value is of a plain type: whole numbers are floats, and lists are tuples."""
    if isinstance(value, bool):
        return kind is bool
    wider = {float: (float, int), tuple: (tuple, list)}
    return isinstance(value, wider.get(kind, kind))


def _quoted(value: Any, kinds: Sequence[type]) -> str:
    """That a number is written as a text, where a number is expected."""
    return " (text)" if isinstance(value, str) and {int, float, bool} & {*kinds} else ""


def _name(kind: type) -> str:
    return "None" if kind is type(None) else kind.__name__
