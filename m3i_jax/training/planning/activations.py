"""Memory of activations, from shapes alone: what a step keeps between forward and backward."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

from m3i_jax import framework as fw
from m3i_jax import trees
from m3i_jax.parallel import sharding
from m3i_jax.parallel.constrain import TENSOR
from m3i_jax.training.assemble import Run
from m3i_jax.training.planning import origins, shares
from m3i_jax.training.step import views
from m3i_jax.types import Batch


class Activations(NamedTuple):
    """Bytes for the backward pass, of each image of a batch.

    held: by the derivative, an upper bound.  kept: by a compiler that makes what comes number by
    number of other arrays again where it is read, `origins`.
    """

    held: float
    kept: float


def per_image(run: Run) -> Activations:
    """Bytes for the backward pass, for each image of a batch.

    What the derivative of the loss holds on to grows by this with every image, up to the run's own
    (micro-)batch; parameters, which it holds, too, cancel out. Recomputation (`remat`) counts as it
    saves. Groups of terms that are differentiated one after another free their heads' share in
    between, which is not counted. Of a layer that is split over `tensor` a device has its share.
    Nothing is held for what `config.optimizer.freeze` leaves as it is.
    """
    group = max((derived.group or 1 for derived in run.method.views.values()), default=1)
    rows = math.lcm(group, 64)  # of fewer no codebook of published size can start
    # Where images are each other's candidates an image costs more, the more of them there are.
    most = max(2 * rows, run.config.batch // run.config.accumulate)
    few, many = (_derivative(run, count) for count in (rows, most))
    both = [(one, _shares(one, run.mesh.shape[TENSOR])) for one in (few, many)]

    def growth(size: Callable[..., float]) -> float:
        less, more = (size(derivative, shares=own) for derivative, own in both)
        return (more - less) / (most - rows)

    return Activations(growth(_held), growth(origins.kept))


def _shares(derivative: core.Jaxpr, ways: int) -> list[float]:
    """How much a device has of each array that a derivative holds."""
    split = shares.of(derivative, [False] * len(derivative.invars), ways).split
    return [1 / ways if one else 1.0 for one in split]


def _held(derivative: core.Jaxpr, *, shares: Sequence[float]) -> float:
    """Bytes of all arrays that a derivative holds."""
    arrays = zip((v.aval for v in derivative.outvars), shares, strict=True)
    return sum(
        share * math.prod(x.shape) * np.dtype(x.dtype).itemsize
        for x, share in arrays
        if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    )


def _derivative(run: Run, rows: int) -> core.Jaxpr:
    """What makes all that the derivative of the loss of a batch holds."""
    method, network = run.method, run.network
    frozen = re.compile(run.config.optimizer.get("freeze") or "(?!)")

    def still(path, leaf):
        return jax.lax.stop_gradient(leaf) if frozen.search(path) else leaf

    def derivative(params: Any, states: dict, batch: Batch):
        key = jax.random.key(0)
        inputs = views(key, batch, run.augment)
        prepared = fw.prepare(method, network, inputs, key=key, params=params, states=states)

        def loss(params):
            params = trees.map_with_name(still, params)
            options = dict(train=True, key=key)
            representations, _, seen = fw.encode(
                method, network, params, states, prepared, **options
            )
            scores = fw.score(method, network, params, representations, seen, **options)
            return sum(score.loss for score in scores.values())

        return jax.vjp(loss, params)[1]

    shapes = run.abstract.params, run.abstract.slots, run.batch_shape(rows)
    with sharding.tracing(run.mesh):
        return jax.make_jaxpr(derivative)(*shapes).jaxpr
