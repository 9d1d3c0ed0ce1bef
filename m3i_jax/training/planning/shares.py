"""What one of the devices along the axis `tensor` does of a step, and what they sum together.

Layers that are split over it say so where they are multiplied (`parallel/tensor.py`,
`parallel/tables.py`); whatever is made of a share is a share, until somebody says that it is whole:
there devices sum. So the trace of a step under a mesh that need not be there tells all of it.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

from m3i_jax.parallel.constrain import TENSOR
from m3i_jax.training.planning import flops


class Share(NamedTuple):
    """Of one device.

    products: FLOPs.  summed: bytes of arrays that are whole behind a sum over `tensor`.
    split: of each result, whether the device has a share of it, and not all.
    """

    products: float
    summed: float
    split: list[bool]

    def times(self, count: int) -> "Share":
        """So many of it, one after another."""
        return self._replace(products=count * self.products, summed=count * self.summed)


def of_step(step: core.Jaxpr, ways: int) -> Share:
    """That of a traced step, of one of so many devices; what nobody asks for counts nothing."""
    live = flops.live(step)
    return of(live, [False] * len(live.invars), ways)


def of(jaxpr: core.Jaxpr, split: Sequence[bool], ways: int) -> Share:
    """The share of one of `ways` devices of a traced function.

    split: of each argument, whether the device has a share of it.

    Raises:
      ValueError: a product inside a loop whose length is not known before it runs.
    """
    known: dict[Any, bool] = dict(zip(jaxpr.invars, split, strict=True))
    read = lambda v: not isinstance(v, core.Literal) and known.get(v, False)  # noqa: E731
    products = summed = 0.0
    for eqn in jaxpr.eqns:
        share = _equation(eqn, [read(v) for v in eqn.invars], ways)
        products, summed = products + share.products, summed + share.summed
        known |= zip(eqn.outvars, share.split, strict=True)
    return Share(products, summed, [read(v) for v in jaxpr.outvars])


def _equation(eqn: core.JaxprEqn, given: list[bool], ways: int) -> Share:
    name, inner = eqn.primitive.name, list(core.jaxprs_in_params(eqn.params))
    if name == "sharding_constraint":
        there = _over_tensor(eqn.params["sharding"].spec)
        ends = given[0] and not there
        return Share(0.0, _bytes(eqn.outvars[0].aval) if ends else 0.0, [there])
    if name == "scan":
        return _scan(eqn, inner[0], given, ways)
    if name == "cond":
        branches = [of(branch, given[1:], ways) for branch in inner]
        dearest = max(branches, key=lambda share: share.products)
        return dearest._replace(split=_any(branches))
    if name == "shard_map":
        return _mapped(eqn, inner[0], ways)
    if len(inner) == 1 and len(inner[0].invars) == len(given) and name != "pallas_call":
        return of(inner[0], given, ways)  # a function that was called
    there = any(given)
    products = flops.of_equation(eqn) / (ways if there else 1)
    return Share(products, 0.0, [there] * len(eqn.outvars))


def _scan(eqn: core.JaxprEqn, body: core.Jaxpr, given: list[bool], ways: int) -> Share:
    """A loop: what it carries is a share where it is one behind any of its turns."""
    first, carried = eqn.params["num_consts"], eqn.params["num_carry"]
    while True:
        share = of(body, given, ways)
        before = given[first : first + carried]
        after = [a or b for a, b in zip(before, share.split[:carried], strict=True)]
        if after == before:
            return share.times(eqn.params["length"])
        given = [*given[:first], *after, *given[first + carried :]]


def _mapped(eqn: core.JaxprEqn, body: core.Jaxpr, ways: int) -> Share:
    """What each device does by itself, stated for one: nothing of it is a share of its own."""
    mesh, axes = eqn.params["mesh"].shape, eqn.params["newly_manual_axes"]
    others = math.prod(mesh[axis] for axis in axes if axis != TENSOR)
    share = of(body, [False] * len(body.invars), ways).times(others)
    return share._replace(split=[_over_tensor(spec) for spec in eqn.params["out_specs"]])


def _any(shares: Sequence[Share]) -> list[bool]:
    return [any(of_result) for of_result in zip(*(one.split for one in shares), strict=True)]


def _over_tensor(spec: Iterable[Any]) -> bool:
    return any(TENSOR == axes or (isinstance(axes, tuple) and TENSOR in axes) for axes in spec)


def _bytes(array: Any) -> float:
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return 0.0
    return float(math.prod(array.shape) * np.dtype(array.dtype).itemsize)
