"""What a compiled program moves: its collectives, and the bytes between chip and memory.

Read from the text of the optimised program, as the compiler's own count takes the body of a loop
once. Every instruction of a loop counts as often as the loop runs, by what `traffic` says of it.
"""

import collections
import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from m3i_jax.training.planning import traffic
from m3i_jax.training.planning.instructions import (
    SHAPE,
    Computations,
    Instruction,
    parsed,
    sizes,
    times,
)

# What a device sends of an array that a collective makes, as n devices exchange it in a ring.
COLLECTIVES = {
    "all-gather": lambda n: (n - 1) / n,
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-to-all": lambda n: (n - 1) / n,
    "collective-permute": lambda n: 1,
    "ragged-all-to-all": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: n - 1,
}
GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\]|mesh\[(.*?)\] \{(.*?)\})")
DEVICES = re.compile(r"num_partitions=(\d+)")
CHANNEL = re.compile(r"channel_id=(\d+)")


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


def moved(text: str, *, shares: Mapping[str, float] = MappingProxyType({})) -> Moved:
    """Counts the text of an optimised program, as `Compiled.as_text` gives it.

    shares: of the runs in which the branches under a named scope are taken; 1 elsewhere.
    """
    entry, computations = parsed(text)
    crossed, sent, found = 0.0, 0.0, collections.defaultdict(lambda: (0, 0.0))
    devices = DEVICES.search(text)
    for name, often in times(entry, computations, shares).items():
        known = {one.name: one for one in computations[name]}
        crossed += often * sum(traffic.of(one, known, computations) for one in known.values())
        for kind, result, rest in _collectives(computations[name], computations):
            count, total = found[kind]
            size = often * sum(sizes(result, fast=True))
            found[kind] = count + often, total + size
            sent += size * COLLECTIVES[kind](_ways(rest, int(devices[1]) if devices else 1))
    return Moved(crossed, dict(found), sent)


def largest(text: str, *, count: int = 5) -> tuple[Buffer, ...]:
    """The largest arrays that the instructions of a program make, one of each shape and name."""
    entry, computations = parsed(text)
    found: dict[tuple[str, str], Buffer] = {}
    for name in times(entry, computations, {}):
        for one in computations[name]:
            if one.kind in traffic.FREE:
                continue
            words = one.scope.rpartition("jit(advance)/")[2] if one.scope else one.kind
            for array in SHAPE.finditer(one.shape):
                shape = f"{array[1]}[{array[2]}]"
                found.setdefault((shape, words), Buffer(sum(sizes(array[0])), shape, words))
    return tuple(sorted(found.values(), key=lambda one: -one.size)[:count])


def _collectives(
    body: list[Instruction], computations: Computations
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
        for name in one.called if one.kind == "fusion" else ():
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
    axis = {name: int(n) for name, n in re.findall(r"'(\w+)'=(\d+)", axes)}
    parts = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", joined)  # of an axis, or of a part of it
    return math.prod(int(part) if part else axis[name] for name, part in parts)


def _result(one: Instruction) -> str:
    """Shape of what a collective makes; those that start have their operands in front of it."""
    if one.kind in COLLECTIVES or one.kind == "all-reduce-start":
        return one.shape
    arrays = [array[0] for array in SHAPE.finditer(one.shape) if array[2]]
    return " ".join(arrays[len(arrays) // 2 :])
