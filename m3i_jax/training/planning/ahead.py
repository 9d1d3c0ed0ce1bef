"""A step compiled for chips that are not here: whether it fits, and what bounds it."""

import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from m3i_jax.build import ConfigError
from m3i_jax.framework.scoring import SELDOM
from m3i_jax.parallel.constrain import TENSOR
from m3i_jax.training import schema
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import estimate, flops, forecast, hlo, peaks, shares

FULL = "RESOURCE_EXHAUSTED"


class Ahead(NamedTuple):
    """What a compiled step needs of each chip.

    chips, kind: how many of which.  seconds: of processor time that compiling took.
    arguments, temporaries, peak: bytes of memory.  products: FLOPs.  moved: see `hlo.moved`.
    largest: results of the program, see `hlo.largest`.
    """

    chips: int
    kind: str
    seconds: float
    arguments: int
    temporaries: int
    peak: int
    products: float
    moved: hlo.Moved
    largest: tuple[hlo.Buffer, ...] = ()

    def times(self, dtype: str) -> dict[str, float] | None:
        """The least time of a step by what takes it; None for chips whose rates are not known."""
        if (chip := peaks.chip(self.kind)) is None:
            return None
        needs = estimate.Needs({}, self.products, self.moved.traffic, self.moved.sent)
        return needs.seconds(chip, dtype)


def compiled(config: Config, devices: Sequence[Any]) -> Ahead:
    """Compiles the step of a config for such `chips` by their own compiler.

    Raises:
      ConfigError: a step that does not fit, with the compiler's own figures.
    """
    run = assemble(config, images=config.epoch_size, devices=devices)
    start = time.process_time()
    with jax.set_mesh(run.mesh):
        leaves = jax.tree.leaves(run.abstract)
        try:
            program = run.compiled().trace(leaves, run.batch_shape()).lower().compile()
        except jax.errors.JaxRuntimeError as error:
            if FULL not in str(error):
                raise
            raise ConfigError(_too_large(config, devices, str(error))) from None
    tensor = run.mesh.shape[TENSOR]
    memory, text = program.memory_analysis(), program.as_text()
    return Ahead(
        chips=len(devices),
        kind=devices[0].device_kind,
        seconds=time.process_time() - start,
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        peak=memory.peak_memory_in_bytes,
        products=shares.of_step(flops.step(run), tensor).products * tensor / len(devices),
        moved=hlo.moved(text, shares={SELDOM: _seldom(config)}),
        largest=hlo.largest(text),
    )


def _too_large(config: Config, devices: Sequence[Any], said: str) -> str:
    """That a step does not fit, in the compiler's words, and what would, by formula."""
    count, kind = len(devices), devices[0].device_kind
    chip = peaks.chip(kind)
    instead = []
    if chip:
        over = dict(tensor=forecast.layout_of(config, count).tensor)
        instead = forecast.instead(config, estimate.traced(config, **over), count, chip, **over)
    return "; ".join([f"the step does not fit on {count} x {kind}: {_said(said)}", *instead])


def _seldom(config: Config) -> float:
    """Share of the steps that compute what only the log reads."""
    every = schema.Log(**config.log).every
    return 1 / every if every else 0.0


def lines(ahead: Ahead, dtype: str) -> list[str]:
    """The same in words; rates are those that makers state, so times are bounds, no forecasts."""
    chip = peaks.chip(ahead.kind)
    sizes = (ahead.temporaries, ahead.arguments, ahead.peak, chip.memory if chip else 0)
    made, given, most, there = (size / 2**30 for size in sizes)
    rows = [
        (
            "memory",
            f"temporaries {made:.2f}, arguments {given:.2f}, at most {most:.2f} GiB"
            + (f" of {there:.0f}" if chip else ""),
        ),
        *(
            ("largest" if i == 0 else "", f"{one.size / 2**30:.2f} GiB {one.shape} of {one.name}")
            for i, one in enumerate(ahead.largest)
        ),
        ("traffic", f"{ahead.moved.traffic / 1e9:.1f} GB between chip and memory"),
        *(
            (kind, f"{count:.0f} a step, {size / 1e9:.3f} GB")
            for kind, (count, size) in sorted(ahead.moved.collectives.items())
        ),
    ]
    if times := ahead.times(dtype):
        rows += forecast.time(times), forecast.links(ahead.moved.sent, times)
    head = f"compiled for {ahead.chips} x {ahead.kind} in {ahead.seconds:.0f} s, not run; of a chip"
    return [head, *(f"  {name:<18} {words}" for name, words in rows)]


def chips(topology: str) -> list[Any]:
    """The chips of a topology such as "v5e:2x4", which need not be there.

    Raises:
      ConfigError: a topology that the compiler does not know, or no compiler; GPUs.
    """
    name = topology.partition(":")[0]
    if not peaks.NAMES.get(name, "TPU").startswith("TPU"):
        raise ConfigError(
            f"--topology={topology} would compile for a GPU that is not here, which this does for "
            f"TPUs alone; by formula: --accelerator={name} --devices=8"
        )
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # asks nobody over the network where it is
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # no chip is taken: others may compile
    from jax.experimental import topologies

    try:
        return topologies.get_topology_desc(topology_name=topology, platform="tpu").devices
    except (ValueError, RuntimeError, jax.errors.JaxRuntimeError) as error:
        raise ConfigError(
            f"no compiler for '{topology}': {_said(str(error))}; expected such as 'v5e:2x4', "
            "'v5p:2x2x2' or 'v6e:4x4', and TPU's compiler: pip install 'jax[tpu]'"
        ) from None


def _said(text: str) -> str:
    """The first sentence of a compiler's message."""
    return text.strip().splitlines()[0][:300].rstrip(".")
