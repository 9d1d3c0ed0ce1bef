"""Bytes that an instruction of an optimised program moves between a chip and its memory.

Operands and results count once, those in fast memory not. Of an operand counts what is taken of it:
of an array of which only a slice is read, or rows, these; inside a fusion, too. What is updated in
place, by a slice or by rows that are added, is not written anew: a slice is written, rows are read
and written. Whatever else happens inside a fusion counts nothing.
"""

import collections
from typing import NamedTuple

from m3i_jax.training.planning.instructions import (
    SHAPE,
    Computations,
    Instruction,
    numbers,
    sizes,
)

# Names of values, or loops whose insides are counted.
FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional",
    "call", "async-start", "after-all", "partition-id", "replica-id", "iota",
}  # fmt: skip
NAMES = ("AllocateBuffer", "ConcatBitcast")  # custom calls that move nothing
# A number of their result takes one of each operand.
LOCAL = frozenset(
    """abs add and atan2 bitcast bitcast-convert broadcast cbrt ceil clamp compare concatenate
    convert copy cosine count-leading-zeros divide dynamic-slice erf exponential
    exponential-minus-one floor gather is-finite log log-plus-one logistic maximum minimum multiply
    negate not or pad popcnt power reduce-precision remainder reshape reverse round-nearest-afz
    round-nearest-even rsqrt select shift-left shift-right-arithmetic shift-right-logical sign sine
    slice sqrt subtract tan tanh transpose xor""".split()
)
# What is needed of their result is needed of all operands.
ALIKE = frozenset(("get-tuple-element", "reduce", "tuple"))
UPDATES = ("dynamic-update-slice", "scatter")


class _Body(NamedTuple):
    """A computation.  known: its instructions.  given: the numbers of its parameters that lie in
    memory and may be updated there; None outside fusions, where whatever is may be.
    """

    known: dict[str, Instruction]
    computations: Computations
    given: frozenset[int] | None = None

    def shape(self, name: str) -> str:
        return self.known[name].shape if name in self.known else ""

    def lies(self, name: str) -> bool:
        """Whether it is an array in memory, by whatever name."""
        while name in self.known and self.known[name].kind == "bitcast":
            name = self.known[name].operands[0]
        if self.given is None:
            return True
        return self.known[name].kind == "parameter" and self.known[name].number in self.given

    def inside(self, fusion: Instruction, *, last: bool) -> tuple["_Body", str]:
        """The computation of a fusion, and the name of its result.

        last: whether what it returns is what this computation returns.
        """
        body = self.computations[fusion.called[0]]
        given = [i for i, name in enumerate(fusion.operands) if last and self.lies(name)]
        known = {one.name: one for one in body}
        root = next((one.name for one in body if one.root), body[-1].name)
        return _Body(known, self.computations, frozenset(given)), root


def of(one: Instruction, known: dict[str, Instruction], computations: Computations) -> float:
    """Bytes that an instruction reads and writes when it runs once.

    known: the instructions of its computation, by name, with it.
    """
    if one.kind in FREE or one.kind.endswith("-done") or any(n in one.rest for n in NAMES):
        return 0.0
    body = _Body(known, computations)
    if one.kind.endswith("-start"):
        one = _started(one, body)
    taken = zip(one.operands, _taken(one, 1.0, body, last=True), strict=True)
    read = sum(share * sum(sizes(body.shape(name))) for name, share in taken)
    written = zip(_written(one, body), sizes(one.shape), strict=True)
    return read + sum(share * size for share, size in written)


def _started(one: Instruction, body: _Body) -> Instruction:
    """What an instruction that starts another does, with the shape of that one's result alone.

    Its own shape is (operands, results, what is no array of ours); of a copy (result, operand, ..).
    """
    kind = one.kind.removesuffix("-start")
    arrays = [array[0] for array in SHAPE.finditer(one.shape)]
    if kind == "copy":
        made = arrays[:1]
    elif kind == "all-reduce":
        made = arrays
    else:
        given = sum(len(sizes(body.shape(name))) for name in one.operands)
        made = arrays[given : given + (1 if "slice" in kind else given)]
    return one._replace(kind=kind, shape=", ".join(made))


def _taken(one: Instruction, share: float, body: _Body, *, last: bool) -> list[float]:
    """How much of each operand it takes to make a share of what it makes.

    last: whether its computation returns what it makes.
    """
    if one.kind == "fusion":
        return _of_parameters(one, share, body, last=last)
    if one.kind in UPDATES:
        return _of_updated(one, share, body, last=last)
    if one.kind in ALIKE:
        return [share for _ in one.operands]
    if one.kind not in LOCAL:
        return [1.0 for _ in one.operands]
    made = share * numbers(one.shape)
    return [min(1.0, made / max(1, numbers(body.shape(name)))) for name in one.operands]


def _of_parameters(fusion: Instruction, share: float, outer: _Body, *, last: bool) -> list[float]:
    """How much a fusion takes of its operands, from what it returns backwards."""
    body, root = outer.inside(fusion, last=last)
    needed: dict[str, float] = collections.defaultdict(float)
    needed[root] = share
    returned = {root} if last else set()
    for one in reversed(body.known.values()):
        if one.kind in ("tuple", "bitcast") and one.name in returned:
            returned.update(one.operands)
        if needed[one.name]:
            taken = _taken(one, needed[one.name], body, last=one.name in returned)
            for name, part in zip(one.operands, taken, strict=True):
                needed[name] = min(1.0, needed[name] + part)
    parameters = {one.number: one.name for one in body.known.values() if one.kind == "parameter"}
    return [needed[parameters[i]] if i in parameters else 1.0 for i in range(len(fusion.operands))]


def _of_updated(one: Instruction, share: float, body: _Body, *, last: bool) -> list[float]:
    """How much an update takes of what it updates, of places and of what it writes there."""
    count = _updated(one)
    rest = [1.0] * (len(one.operands) - count)
    if not (last and body.lies(one.operands[0])):
        return [share] * count + rest
    return [_part(one, body) if one.kind == "scatter" else 0.0] * count + rest


def _written(one: Instruction, body: _Body) -> list[float]:
    """How much of each array that it returns an instruction writes."""
    if one.kind in UPDATES and body.lies(one.operands[0]):
        return [_part(one, body)] * _updated(one)
    if one.kind == "fusion":
        inner, root = body.inside(one, last=True)
        return _written(inner.known[root], inner)
    if body.given is not None and one.kind in ("tuple", "bitcast"):
        parts = [_written(body.known[name], body) for name in one.operands]
        return [share for part in parts for share in part]
    return [1.0 for _ in sizes(one.shape)]


def _updated(one: Instruction) -> int:
    """How many arrays an update writes to."""
    return 1 if one.kind == "dynamic-update-slice" else (len(one.operands) - 1) // 2


def _part(one: Instruction, body: _Body) -> float:
    """How much of an array is updated."""
    update = one.operands[1 if one.kind == "dynamic-update-slice" else -1]
    return min(1.0, numbers(body.shape(update)) / max(1, numbers(body.shape(one.operands[0]))))
