"""FLOPs of a training step, counted on its jaxpr: 2 per multiply-add, matrix products only.

The count is exact for the step as written, whatever the encoders and decoders are: patches that
were dropped, tokens of one region only, a frozen target without a backward pass and a first layer
without a gradient to its input cost what they cost. Element-wise work, norms and the optimiser
count nothing, as is usual for "model FLOPs". XLA's own count is no substitute: it takes the body
of a scan once.
"""

import functools
import inspect
import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval

from m3i_jax import decoders, encoders
from m3i_jax.parallel import sharding
from m3i_jax.training.assemble import Run, assemble
from m3i_jax.training.planning import peaks

LOG = logging.getLogger(__name__)


class Flops(NamedTuple):
    """FLOPs per image of one step.

    model: forward, backward and targets; without augmentation and without what `remat` repeats.
    executed: every product that the step states, repeated and augmenting ones too.
    """

    model: float
    executed: float


def per_image(run: Run) -> Flops:
    """Counts one step of a run on its own batch, divided by the images of the batch.

    Losses that compare the samples of a batch with each other have a share that grows with it.
    """
    bare, counted = _bare(run), executed(run)
    return Flops(counted if bare is run else executed(bare), counted)


def executed(run: Run) -> float:
    """FLOPs of an image, every product that the step states."""
    return _step(run) / run.config.batch


def ceiling(run: Run) -> float | None:
    """Images per second at which the run's devices would do model FLOPs at their peak rate.

    Images per second over it are the model FLOPs utilisation (MFU; Chowdhery et al. 2022, appendix
    B, https://arxiv.org/abs/2204.02311). None for devices whose peak is not known, such as CPUs,
    and for what cannot be counted.
    """
    peak = peaks.peak(run.mesh.devices.flat, run.config.dtype)
    if peak is None:
        return None
    try:
        return peak * run.config.batch / _step(_bare(run))
    except ValueError as error:
        LOG.info("perf/mfu is not logged: %s", error)
        return None


def _bare(run: Run) -> Run:
    """The run without augmentation and recomputation; the same object if it has neither."""
    config = run.config
    kept = functools.partial(_kept, auto=run.mesh.devices.flat[0].platform == "cpu")
    plain = replace(
        config,
        duration=f"{run.total} steps",
        warmup="0 steps",
        augment={},
        crops=dict(config.crops, resize="exact") if "resize" in config.crops else config.crops,
        encoder=kept(config.encoder, encoders.variant),
        towers={name: kept(block, encoders.variant) for name, block in config.towers.items()},
        decoders={name: kept(block, decoders.variant) for name, block in config.decoders.items()},
    )
    if plain == replace(config, duration=plain.duration, warmup=plain.warmup):
        return run
    return assemble(plain, images=config.batch, devices=run.mesh.devices.flatten())


def _step(run: Run) -> int:
    return of(step(run))


def step(run: Run) -> core.Jaxpr:
    """The step of a run, traced under its mesh, which need not be there."""
    with sharding.tracing(run.mesh):
        return jax.make_jaxpr(run.step())(run.abstract, run.batch_shape()).jaxpr


def _kept(block: Mapping[str, Any], variant: Callable, *, auto: bool) -> dict[str, Any]:
    """A block that keeps for the backward pass what it may recompute. auto: unasked it does."""
    plain = {name: value for name, value in block.items() if name not in ("remat", "attention")}
    if auto or "attention" not in keywords(variant(block["name"])):
        return plain
    return plain | {"attention": "keep"}


def keywords(function: Callable) -> Collection[str]:
    """What a block of this encoder or decoder may say."""
    return inspect.signature(function).parameters


def count(fn: Any, *args: Any) -> int:
    """FLOPs of `fn(*args)`; arrays may be given by their shapes.

    A branch counts as its dearest alternative, one by platform as its cheapest.

    Raises:
      ValueError: a product inside a loop whose length is not known before it runs.
    """
    return of(jax.make_jaxpr(fn)(*args).jaxpr)


def of(jaxpr: core.Jaxpr) -> int:
    """FLOPs of what has been traced; see `count`."""
    return _count(live(jaxpr))


def live(jaxpr: core.Jaxpr) -> core.Jaxpr:
    """What of it makes its results.

    Rules of differentiation also state gradients that nobody asked for; XLA removes them too.
    """
    return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0]


def _count(jaxpr: core.Jaxpr) -> int:
    return sum(of_equation(eqn) for eqn in jaxpr.eqns)


def of_equation(eqn: core.JaxprEqn) -> int:
    """FLOPs of one equation and of everything inside it."""
    name = eqn.primitive.name
    if name == "dot_general":
        return _dot(eqn)
    if name == "conv_general_dilated":
        return _convolution(eqn)
    inner = [_count(jaxpr) for jaxpr in core.jaxprs_in_params(eqn.params)]
    if not any(inner):
        return 0
    if name == "scan":
        return eqn.params["length"] * sum(inner)
    if name == "cond":  # by platform: products that only some of them do are in place of others
        return min(inner) if eqn.params.get("branches_platforms") else max(inner)
    if name == "shard_map":  # the body is what each device does
        mesh = eqn.params["mesh"].shape
        return math.prod(mesh[axis] for axis in eqn.params["newly_manual_axes"]) * sum(inner)
    if name == "pallas_call":
        return math.prod(eqn.params["grid_mapping"].grid) * sum(inner)
    if name == "while":
        raise ValueError("cannot count the products inside a 'while': its length is not known")
    return sum(inner)


def _dot(eqn: core.JaxprEqn) -> int:
    """2 · size of the result · length of the sums."""
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    return 2 * eqn.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)


def _convolution(eqn: core.JaxprEqn) -> int:
    """2 · size of the result · inputs seen by each output; zeros of a dilated input are free."""
    kernel = eqn.invars[1].aval
    outputs = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    free = int(np.prod(eqn.params["lhs_dilation"]))
    return 2 * eqn.outvars[0].aval.size * (kernel.size // outputs) // free
