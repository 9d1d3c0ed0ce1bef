"""What a compiler keeps of the arrays that a derivative holds.

A convolution reads what comes number by number of another's result (a norm, an activation, a mask)
without that it is written: of it all the result alone is kept, and sums of two such. Of whatever
else is held everything counts, as compiled programs keep about as much (docs/benchmarks.md).
"""

import collections
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend import core

# What a loop over the numbers of an array can do on the way: XLA's own are not to be asked.
ON_THE_WAY = frozenset(
    """abs acos add add_any and asin atan atan2 bitcast_convert_type broadcast_in_dim cbrt ceil
    clamp convert_element_type copy copy_p cos cosh div eq erf erf_inv erfc exp exp2 expand_dims
    expm1 floor ge gt integer_pow is_finite le log log1p logistic lt max min mul name ne neg
    nextafter not or pow reduce_precision rem reshape round rsqrt select_n shift_left
    shift_right_arithmetic shift_right_logical sign sin sinh slice split sqrt square squeeze
    sharding_constraint stop_gradient sub tan tanh transpose xor""".split()
)
LOOPS = ("scan", "while", "cond", "pallas_call", "shard_map")


@dataclass(frozen=True, eq=False)
class Origin:
    """What other arrays come of.  size: numbers.  width: bytes of each.

    convolved: of a convolution, or a sum of such.
    """

    size: float
    width: int
    convolved: bool = False


def kept(jaxpr: core.Jaxpr, *, shares: Sequence[float] | None = None) -> float:
    """Bytes that are kept of what a traced function returns; constants are none.

    shares: of each result, how much of it a device has; None = all.
    """
    shares = [1.0] * len(jaxpr.outvars) if shares is None else shares
    origins = of(jaxpr, [_own(v.aval) for v in jaxpr.invars])
    held: dict[Origin | None, list[Origin]] = collections.defaultdict(list)
    for var, origin, share in zip(jaxpr.outvars, origins, shares, strict=True):
        held[origin].append(_own(var.aval, share=share))
    return sum(_kept(origin, arrays) for origin, arrays in held.items() if origin is not None)


def _kept(origin: Origin, arrays: Sequence[Origin]) -> float:
    """Bytes of an origin and of all that comes of it.

    As many numbers as are held, at most its own, and each no wider than what is held: of a sum in
    float32 that is read in bfloat16 and compared, the bfloat16.
    """
    if not origin.convolved:
        return sum(one.size * one.width for one in arrays)
    numbers = min(origin.size, sum(one.size for one in arrays))
    return numbers * min(origin.width, max(one.width for one in arrays))


def of(jaxpr: core.Jaxpr, arguments: Sequence[Origin | None]) -> list[Origin | None]:
    """The origin of each result; None for constants.  arguments: origins of its inputs."""
    known: dict[Any, Origin | None] = dict(zip(jaxpr.invars, arguments, strict=True))
    read = lambda v: None if isinstance(v, core.Literal) else known.get(v)  # noqa: E731
    for eqn in jaxpr.eqns:
        inputs = [read(v) for v in eqn.invars]
        known |= zip(eqn.outvars, _through(eqn, inputs), strict=True)
    return [read(v) for v in jaxpr.outvars]


def _through(eqn: core.JaxprEqn, inputs: Sequence[Origin | None]) -> Iterable[Origin | None]:
    """Origins of what an equation makes."""
    name, inner = eqn.primitive.name, list(core.jaxprs_in_params(eqn.params))
    if name in ON_THE_WAY:
        return [_common(v.aval, inputs) for v in eqn.outvars]
    if name not in LOOPS and len(inner) == 1 and len(inner[0].invars) == len(inputs):
        return of(inner[0], inputs)  # a function that was called
    return [_own(v.aval, convolved=name == "conv_general_dilated") for v in eqn.outvars]


def _common(made: Any, inputs: Sequence[Origin | None]) -> Origin | None:
    """The origin of what was made number by number: the only large one; itself if there are two."""
    given = {origin for origin in inputs if origin is not None}
    large = [origin for origin in given if 2 * origin.size >= made.size]
    if len(large) > 1:
        return _own(made, convolved=all(origin.convolved for origin in large))
    return large[0] if large else max(given, key=lambda one: one.size, default=None)


def _own(array: Any, *, convolved: bool = False, share: float = 1.0) -> Origin:
    """An array that is its own origin; keys of random numbers are none to speak of."""
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return Origin(0, 0)
    return Origin(share * math.prod(array.shape), np.dtype(array.dtype).itemsize, convolved)
