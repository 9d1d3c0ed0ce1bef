"""What a compiled program moves: its collectives, and the bytes between chip and memory.

Read from the text of the optimised program, as the compiler's own count takes the body of a loop
once. Every instruction of a loop counts as often as the loop runs; what one fused loop computes
inside counts nothing. Operands and results each count once, those in fast memory, `S(1)`, not; an
array of which a loop works on one slice in each turn counts as that slice.
"""

import collections
import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

# What a device sends of an array that a collective makes, as n devices exchange it in a ring.
COLLECTIVES = {
    "all-gather": lambda n: (n - 1) / n,
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-to-all": lambda n: (n - 1) / n,
    "collective-permute": lambda n: 1,
    "ragged-all-to-all": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: n - 1,
}
BITS = re.compile(r"[a-z]+(\d+)")
SHAPE = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\](\{[^}]*\})?")
HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) .*\{\s*$")
INSTRUCTION = re.compile(r"(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
CALLED = re.compile(r"(?:true_computation|false_computation|to_apply|calls|body)=%?([\w.\-]+)")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
CONDITION = re.compile(r"condition=%?([\w.\-]+)")
WHOLE = re.compile(r"(\d+)\)")
GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\]|mesh\[(.*?)\] \{(.*?)\})")
DEVICES = re.compile(r"num_partitions=(\d+)")
CHANNEL = re.compile(r"channel_id=(\d+)")
SCOPE = re.compile(r'op_name="([^"]*)"')
TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
# Names of values, or loops whose insides are counted.
FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional",
    "call", "after-all", "partition-id", "replica-id", "iota",
}  # fmt: skip
NAMES = ("AllocateBuffer", "ConcatBitcast")  # custom calls that move nothing


class Moved(NamedTuple):
    """What one device moves in one run of a program.

    traffic: bytes between the chip and its memory.
    collectives: by kind, how many run and the bytes of their results.
    sent: bytes that go to other devices for these.
    """

    traffic: float
    collectives: dict[str, tuple[float, float]]
    sent: float = 0.0


class Buffer(NamedTuple):
    """A result of a program.  size: bytes.  name: the operation of ours that makes it."""

    size: float
    shape: str
    name: str


class _Instruction(NamedTuple):
    name: str
    shape: str
    kind: str
    rest: str


def moved(text: str, *, shares: Mapping[str, float] = MappingProxyType({})) -> Moved:
    """Counts the text of an optimised program, as `Compiled.as_text` gives it.

    shares: of the runs in which the branches under a named scope are taken; 1 elsewhere.
    """
    entry, computations = _parsed(text)
    traffic, sent, collectives = 0.0, 0.0, collections.defaultdict(lambda: (0, 0.0))
    devices = DEVICES.search(text)
    for name, times in _times(entry, computations, shares).items():
        shapes = {one.name: one.shape for one in computations[name]}
        for one in computations[name]:
            traffic += times * _traffic(one, shapes, times)
        for kind, result, rest in _collectives(computations[name], computations):
            count, total = collectives[kind]
            size = times * _bytes(result, fast=True)
            collectives[kind] = count + times, total + size
            sent += size * COLLECTIVES[kind](_ways(rest, int(devices[1]) if devices else 1))
    return Moved(traffic, dict(collectives), sent)


def largest(text: str, *, count: int = 5) -> tuple[Buffer, ...]:
    """The largest arrays that the instructions of a program make, one of each shape and name."""
    entry, computations = _parsed(text)
    found: dict[tuple[str, str], Buffer] = {}
    for name in _times(entry, computations, {}):
        for one in computations[name]:
            if one.kind in FREE:
                continue
            scope = SCOPE.search(one.rest)
            words = scope[1].rpartition("jit(advance)/")[2] if scope else one.kind
            for array in SHAPE.finditer(one.shape):
                shape = f"{array[1]}[{array[2]}]"
                found.setdefault((shape, words), Buffer(_bytes(array[0]), shape, words))
    return tuple(sorted(found.values(), key=lambda one: -one.size)[:count])


def _parsed(text: str) -> tuple[str, dict[str, list[_Instruction]]]:
    """Name of the entry computation, and the instructions of each."""
    computations: dict[str, list[_Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if (head := HEAD.match(line)) and not line.startswith(" "):
            current = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif line.rstrip() == "}":  # what kernels say of themselves has lines with more behind it
            current = None
        elif current is not None and (found := INSTRUCTION.match(line.strip())):
            current.append(_Instruction(*found.groups()))
    return entry, computations


def _times(
    entry: str, computations: Mapping[str, list[_Instruction]], shares: Mapping[str, float]
) -> dict[str, float]:
    """How often each computation runs; of a branch all alternatives, as if they did."""
    times: dict[str, float] = collections.defaultdict(float)

    def visit(name: str, count: float) -> None:
        times[name] += count
        for one in computations[name]:
            taken = count * _share(one, shares)
            for inner, turns in _inner(one, computations):
                visit(inner, taken * turns)

    visit(entry, 1)
    return dict(times)


def _share(one: _Instruction, shares: Mapping[str, float]) -> float:
    """Share of the runs in which an instruction does what it contains."""
    scope = SCOPE.search(one.rest) if shares and one.kind == "conditional" else None
    words = re.findall(r"\w+", scope[1]) if scope else ()
    return math.prod(shares.get(word, 1.0) for word in words)


def _inner(
    one: _Instruction, computations: Mapping[str, list[_Instruction]]
) -> Iterator[tuple[str, int]]:
    """Computations that an instruction runs, and how often."""
    if one.kind in ("while", "call", "async-start", "conditional"):
        turns = _turns(one, computations) if one.kind == "while" else 1
        yield from ((name, turns) for name in CALLED.findall(one.rest))
        for names in BRANCHES.findall(one.rest):
            yield from ((name.strip().lstrip("%"), 1) for name in names.split(","))


def _turns(loop: _Instruction, computations: Mapping[str, list[_Instruction]]) -> int:
    """How often a loop runs: as it says, or the constant that its condition compares with; or 1."""
    if found := TRIPS.search(loop.rest):
        return int(found[1])
    condition = CONDITION.search(loop.rest)
    inside = computations.get(condition[1], []) if condition else []
    numbers = [WHOLE.match(one.rest) for one in inside if one.kind == "constant"]
    bounds = [int(number[1]) for number in numbers if number]
    return max(bounds, default=1)


def _collectives(
    body: list[_Instruction], computations: Mapping[str, list[_Instruction]]
) -> Iterator[tuple[str, str, str]]:
    """Kind, result and attributes of each collective of a computation, those in fused ones too.

    One that overlaps with products is stated in several fusions: where it starts, what runs
    meanwhile, where it ends. These share channel and shape, and are one.
    """
    seen = set()
    for one in body:
        kind = one.kind.removesuffix("-start")
        if kind in COLLECTIVES:
            yield kind, _result(one), one.rest
        for name in CALLED.findall(one.rest) if one.kind == "fusion" else ():
            for inner in computations[name]:
                if inner.kind not in COLLECTIVES:
                    continue
                channel = CHANNEL.search(inner.rest)
                mark = inner.kind, channel and channel[1], re.sub(r"\{[^}]*\}", "", inner.shape)
                if channel is None or mark not in seen:
                    scatters = name.startswith("all-reduce-scatter")
                    made = ("reduce-scatter", one.shape) if scatters else (inner.kind, inner.shape)
                    yield *made, inner.rest
                seen.add(mark)


def _ways(rest: str, devices: int) -> int:
    """How many devices a collective joins: of its first group; all where it names none."""
    if not (found := GROUPS.search(rest)):
        return devices
    listed, size, axes, joined = found.groups()
    if listed:
        return len(listed.split(","))
    if size:
        return int(size)
    sizes = {name: int(n) for name, n in re.findall(r"'(\w+)'=(\d+)", axes)}
    parts = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", joined)  # of an axis, or of a part of it
    return math.prod(int(part) if part else sizes[name] for name, part in parts)


def _result(one: _Instruction) -> str:
    """Shape of what a collective makes; those that start have their operands in front of it."""
    if one.kind in COLLECTIVES or one.kind == "all-reduce-start":
        return one.shape
    arrays = [array[0] for array in SHAPE.finditer(one.shape) if array[2]]
    return " ".join(arrays[len(arrays) // 2 :])


def _traffic(one: _Instruction, shapes: Mapping[str, str], times: int) -> float:
    """Bytes that an instruction reads and writes, once."""
    if one.kind in FREE or one.kind.endswith("-done") or any(n in one.rest for n in NAMES):
        return 0.0
    arguments = one.rest.split("), ")[0]
    operands = [shapes[name] for name in re.findall(r"%([\w.\-]+)", arguments) if name in shapes]
    if one.kind == "slice-start":  # its shape is (operand, slice, ...)
        return _bytes(SHAPE.sub("", one.shape, count=1), fast=True)
    if one.kind == "copy-start":
        return _bytes(operands[0], times) if operands else 0.0
    return _bytes(one.shape, times) + sum(_bytes(shape, times) for shape in operands)


def _bytes(shape: str, times: int = 1, *, fast: bool = False) -> float:
    """Bytes of all arrays of a shape that lie in memory, those in fast memory too where `fast`."""
    total = 0.0
    for dtype, dims, layout in SHAPE.findall(shape):
        if "S(1)" in layout and not fast:
            continue
        sizes = [int(size) for size in dims.split(",") if size]
        if times > 1 and len(sizes) > 2 and sizes[0] == times:
            sizes = sizes[1:]
        bits = BITS.match(dtype)
        total += math.prod(sizes) * (int(bits[1]) / 8 if bits else 1)
    return total
