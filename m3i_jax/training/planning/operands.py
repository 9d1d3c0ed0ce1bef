"""What the products of a traced step read and write, and what devices sum of its gradients."""

import collections
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
from jax.extend import core
from jax.interpreters import partial_eval
from jaxtyping import PyTree

from m3i_jax.types import Array

# Bytes of a number as products take it.
WIDTHS = {"bfloat16": 2, "float32": 4}


class Operand(NamedTuple):
    """An array that products read or write.

    size: bytes for an image, as products take it.  times: how often a step reads or writes it.
    """

    size: float
    times: float


def of(step: core.Jaxpr, rows: int, *, dtype: str) -> tuple[Operand, ...]:
    """Operands and results of the products and convolutions of a step, by size.

    Products of attention, which have an axis of heads in common, count nothing: accelerators keep
    them on the chip. rows: images that pass at once.
    """
    found: dict[float, float] = collections.defaultdict(float)
    for eqn, times in _equations(step):
        if not _multiplies(eqn):
            continue
        for array in (v.aval for v in (*eqn.invars, *eqn.outvars)):
            width = min(array.dtype.itemsize, WIDTHS[dtype])
            found[math.prod(array.shape) * width / rows] += times
    return tuple(Operand(*one) for one in sorted(found.items()))


def summed(step: core.Jaxpr, params: PyTree[Array]) -> float:
    """Bytes of gradients that devices sum in a step.

    Those of blocks in a loop are summed inside it, and so again for each pass through them: of each
    size of view one. A loop that stacks rows of a parameter's shape and type stacks its gradient.
    """
    owned, stacked = collections.Counter(), collections.Counter()
    for x in jax.tree.leaves(params):
        rows, *shape = x.shape or (1,)
        owned[(*shape, x.dtype)] += rows
    for eqn, times in _equations(step):
        if eqn.primitive.name == "scan":
            for array in (v.aval for v in eqn.outvars[eqn.params["num_carry"] :]):
                stacked[(*array.shape[1:], array.dtype)] += times * eqn.params["length"]
    sizes = {key: math.prod(key[:-1]) * key[-1].itemsize for key in owned}
    return float(sum(size * max(owned[key], stacked[key]) for key, size in sizes.items()))


def _multiplies(eqn: core.JaxprEqn) -> bool:
    """Whether it is a product without common axes, or a convolution."""
    if eqn.primitive.name == "dot_general":
        _, (common, _) = eqn.params["dimension_numbers"]
        return not common
    return eqn.primitive.name == "conv_general_dilated"


def _equations(jaxpr: core.Jaxpr) -> Iterator[tuple[core.JaxprEqn, int]]:
    """Every equation that has a use, and how often it runs; nothing inside kernels."""
    live, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    yield from _inside(live, 1)


def _inside(jaxpr: core.Jaxpr, times: int) -> Iterator[tuple[core.JaxprEqn, int]]:
    for eqn in jaxpr.eqns:
        yield eqn, times
        if eqn.primitive.name != "pallas_call":
            turns = eqn.params["length"] if eqn.primitive.name == "scan" else 1
            for inner in core.jaxprs_in_params(eqn.params):
                yield from _inside(inner, times * turns)
