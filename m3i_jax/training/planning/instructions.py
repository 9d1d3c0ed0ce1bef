"""The text of an optimised program as instructions, and how often each computation of it runs."""

import collections
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

BITS = re.compile(r"[a-z]+(\d+)")
SHAPE = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\](\{[^}]*\})?")
HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) .*\{\s*$")
INSTRUCTION = re.compile(r"(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
CALLED = re.compile(r"(?:true_computation|false_computation|to_apply|calls|body)=%?([\w.\-]+)")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
CONDITION = re.compile(r"condition=%?([\w.\-]+)")
NUMBER = re.compile(r"(\d+)\)")
OPERAND = re.compile(r"%([\w.\-]+)")
SCOPE = re.compile(r'op_name="([^"]*)"')
TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')


class Instruction(NamedTuple):
    """A line of a computation, `name = shape kind(rest`.

    rest: operands, attributes and metadata.  root: whether it is what the computation returns.
    """

    root: bool
    name: str
    shape: str
    kind: str
    rest: str

    @property
    def operands(self) -> list[str]:
        """Names of what it takes."""
        return OPERAND.findall(self.rest.split("), ")[0])

    @property
    def called(self) -> list[str]:
        """Names of the computations that it names, but for branches and conditions of loops."""
        return CALLED.findall(self.rest)

    @property
    def number(self) -> int | None:
        """Of a parameter which, of an integer constant its value."""
        found = NUMBER.match(self.rest)
        return int(found[1]) if found else None

    @property
    def scope(self) -> str | None:
        """The operation of ours that it is part of."""
        found = SCOPE.search(self.rest)
        return found[1] if found else None


Computations = Mapping[str, list[Instruction]]


def parsed(text: str) -> tuple[str, dict[str, list[Instruction]]]:
    """Name of the entry computation, and the instructions of each."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if (head := HEAD.match(line)) and not line.startswith(" "):
            current = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif line.rstrip() == "}":  # what kernels say of themselves has lines with more behind it
            current = None
        elif current is not None and (found := INSTRUCTION.match(line.strip())):
            root, *words = found.groups()
            current.append(Instruction(bool(root), *words))
    return entry, computations


def times(entry: str, computations: Computations, shares: Mapping[str, float]) -> dict[str, float]:
    """How often each computation runs; of a branch all alternatives, as if they did.

    shares: of the runs in which the branches under a named scope are taken; 1 elsewhere.
    """
    found: dict[str, float] = collections.defaultdict(float)

    def visit(name: str, count: float) -> None:
        found[name] += count
        for one in computations[name]:
            taken = count * _share(one, shares)
            for inner, turns in _inner(one, computations):
                visit(inner, taken * turns)

    visit(entry, 1)
    return dict(found)


def _share(one: Instruction, shares: Mapping[str, float]) -> float:
    """Share of the runs in which an instruction does what it contains."""
    scope = one.scope if shares and one.kind == "conditional" else None
    words = re.findall(r"\w+", scope) if scope else ()
    return math.prod(shares.get(word, 1.0) for word in words)


def _inner(one: Instruction, computations: Computations) -> Iterator[tuple[str, int]]:
    """Computations that an instruction runs, and how often."""
    if one.kind in ("while", "call", "async-start", "conditional"):
        turns = _turns(one, computations) if one.kind == "while" else 1
        yield from ((name, turns) for name in one.called)
        for names in BRANCHES.findall(one.rest):
            yield from ((name.strip().lstrip("%"), 1) for name in names.split(","))


def _turns(loop: Instruction, computations: Computations) -> int:
    """How often a loop runs: as it says, or the constant that its condition compares with; or 1."""
    if found := TRIPS.search(loop.rest):
        return int(found[1])
    condition = CONDITION.search(loop.rest)
    inside = computations.get(condition[1], []) if condition else []
    bounds = [one.number for one in inside if one.kind == "constant" and one.number is not None]
    return max(bounds, default=1)


def sizes(shape: str, *, fast: bool = False) -> list[float]:
    """Bytes of each array of a shape that lies in memory; 0 of one in fast memory, `S(1)`.

    fast: count those, too.
    """
    found = []
    for dtype, dims, layout in SHAPE.findall(shape):
        bits, there = BITS.match(dtype), fast or "S(1)" not in layout
        found.append(_count(dims) * (int(bits[1]) / 8 if bits else 1) if there else 0.0)
    return found


def numbers(shape: str) -> int:
    """Of all arrays of a shape together."""
    return sum(_count(dims) for _, dims, _ in SHAPE.findall(shape))


def _count(dims: str) -> int:
    return math.prod(int(size) for size in dims.split(",") if size)
