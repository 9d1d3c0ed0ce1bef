"""What a run is about to do, in a few lines: said before its program compiles."""

from pathlib import Path
from typing import Any

import jax

from m3i_jax import trees
from m3i_jax.data import cores
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import Source
from m3i_jax.training import schema
from m3i_jax.training.assemble import Run
from m3i_jax.training.planning import flops, peaks

UNITS = ("", "k", "M", "G", "T", "P", "E")


def outlook(run: Run, source: Source, workdir: Path, *, start: int, advance: Any) -> str:
    """Images, lengths, network, operations, memory, disk, devices and place of a run, as lines.

    start: step that it goes on from.
    advance: its compiled step, whose trace, made here, is the one that compiles.
    """
    config, state = run.config, _bytes(run)
    operations = _operations(run, advance)
    images = (run.total - start) * config.batch
    saves = schema.Saves(**config.checkpoint)
    lines = {
        "images": _images(source),
        "steps": f"{start} to {run.total}, of {config.batch} images: "
        f"{images} in all, {images / max(1, len(source)):.3g} passes",
        "network": f"{config.encoder['name']}, {short(_count(run))} parameters are trained, "
        f"of images of {config.image} pixels in {config.dtype}",
        "operations": f"{short(operations / config.batch)}FLOP an image, "
        f"{short(operations * (run.total - start))}FLOP in all{_least(run, operations, start)}",
        "memory": f"{short(state)}B of state, and what a step holds",
        "disk": f"{saves.keep + 1} checkpoints of about {short(state)}B",
        "devices": f"{run.mesh.size} {jax.devices()[0].device_kind}, {cores.usable()} cores",
        "results": f"{workdir}/report.html, {workdir}/metrics.jsonl",
    }
    return "\n".join(["what will happen:", *(f"  {k:11} {v}" for k, v in lines.items())])


def short(number: float) -> str:
    """A number with three digits and a prefix: "1.35 G"."""
    power = 0
    while number >= 999.5 and power < len(UNITS) - 1:
        number, power = number / 1000, power + 1
    return f"{number:.3g} {UNITS[power]}"


def _images(source: Source) -> str:
    known = getattr(source, "labels", None)
    labelled = protocol.account(source).labelled if known is None else int((known >= 0).sum())
    broken = len(getattr(source, "unreadable", ()))
    labels = f"{len(source.classes)} classes, {labelled} with a label" \
        if source.classes else "no labels"  # fmt: skip
    return f"{len(source)} to train on, {labels}" + (
        f"; {broken} cannot be read, and another is taken in their place" if broken else ""
    )


def _bytes(run: Run) -> int:
    """Of the state, all of which a checkpoint holds."""
    leaves = jax.tree.leaves(run.abstract)
    return sum(x.size * x.dtype.itemsize for x in leaves)


def _count(run: Run) -> int:
    return trees.count(trees.drop(run.abstract.params, trees.STATISTICS))


def _operations(run: Run, advance: Any) -> int:
    """FLOPs of a step; 0 where a loop's length is not known."""
    traced = advance.trace(jax.tree.leaves(run.abstract), run.batch_shape())
    try:
        return flops.of(traced.jaxpr.jaxpr)
    except ValueError:
        return 0


def _least(run: Run, operations: int, start: int) -> str:
    """The least time, at the peak of the devices where that is known."""
    peak = peaks.peak(run.mesh.devices.flat, run.config.dtype)
    if peak is None:
        return "; the time is said with the first lines"
    hours = operations * (run.total - start) / peak / 3600
    return f": {hours:.2g} hours at least, at the devices' peak"
