"""What a run is about to do, in a few lines at once, and what a step needs once it is compiled."""

from pathlib import Path
from typing import Any

import jax

from m3i_jax import trees
from m3i_jax.data import cores
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import Source
from m3i_jax.training.assemble import Run
from m3i_jax.training.planning import flops, peaks, room
from m3i_jax.training.progress import duration

LENGTH = "from here to the last step, compiling included; what is measured after it comes on top"
REMEMBERED = "of steps, monitors and checkpoints, as they took here before; compiling comes on top"
UNKNOWN = "no such steps have been made here yet; the line of progress says how long is left"
UNITS = ("", "k", "M", "G", "T", "P", "E")


def outlook(
    run: Run,
    source: Source,
    workdir: Path,
    *,
    start: int,
    length: str = "",
    rate: float | None = None,
) -> str:
    """Images, lengths, network, memory, disk, devices and place of a run, as lines.

    Of shapes alone, so that it is said at once; what takes a trace and a program is in `needs`.

    start: step that it goes on from.
    rate: steps a minute that such a run has made on this machine, where one has.
    length: what the run is long where that is not known in steps yet, such as "8 minutes".
    """
    config, state = run.config, room.checkpoint(run)
    images = (run.total - start) * config.batch
    steps = f"{start} to {run.total}, of {config.batch} images: {images} in all, " \
        f"{images / max(1, len(source)):.3g} passes"  # fmt: skip
    if config.batch > len(source):
        steps += f"; of {len(source)} images, so each is {config.batch / len(source):.3g} times " \
            "in a batch"  # fmt: skip
    lines = {
        "method": config.objective["name"],
        "images": _images(run, source),
        "steps": steps if not length else
        f"as many of {config.batch} images as {length} hold; a few are timed first",
        "network": f"{config.encoder['name']}, {short(_count(run))} parameters are trained, "
        f"of images of {config.image} pixels in {config.dtype}",
        "time": f"{length}, {LENGTH}" if length else _time(run.total - start, rate),
        "memory": f"{short(state)}B of state; what a step holds is known once it is compiled",
        "disk": f"{(count := room.most(run))} checkpoint{'s' * (count > 1)} of about "
        f"{short(state)}B; {short(room.free(workdir))}B are free",
        "devices": f"{run.mesh.size} {jax.devices()[0].device_kind}{_processes()}, "
        f"{cores.usable()} cores",
        "results": f"{workdir}/report.html, {workdir}/metrics.jsonl",
    }  # fmt: skip
    return "\n".join(["what will happen:", *(f"  {k:11} {v}" for k, v in lines.items())])


def _processes() -> str:
    """Of how many processes the devices are, where there are several; cores are of this one."""
    count = jax.process_count()
    return f" of {count} processes" if count > 1 else ""


def _time(steps: int, rate: float | None) -> str:
    """How long so many steps take, where it is known how many a minute has."""
    if rate is None:
        return UNKNOWN
    return f"{duration(60 * steps / rate)} {REMEMBERED}"


def needs(run: Run, program: Any, traced: Any, *, steps: int) -> str:
    """What a step costs, of its trace and its compiled program: operations, memory, least time.

    steps: that are to be made.
    """
    operations, memory = _operations(traced), program.memory_analysis()
    held = "" if memory is None else f"; {short(_peak(memory))}B of memory at most"
    return (
        f"a step: {short(operations / run.config.batch)}FLOP an image, "
        f"{short(operations * steps)}FLOP in all{_least(run, operations * steps)}{held}"
    )


def _peak(memory: Any) -> int:
    """Bytes of a device that a program needs: arguments, what it makes, what it holds meanwhile."""
    made = memory.output_size_in_bytes - memory.alias_size_in_bytes  # the rest is where it was
    return memory.argument_size_in_bytes + made + memory.temp_size_in_bytes


def short(number: float) -> str:
    """A number with three digits and a prefix: "1.35 G"."""
    power = 0
    while number >= 999.5 and power < len(UNITS) - 1:
        number, power = number / 1000, power + 1
    return f"{number:.3g} {UNITS[power]}"


def _images(run: Run, source: Source) -> str:
    known = getattr(source, "labels", None)
    labelled = protocol.account(source).labelled if known is None else int((known >= 0).sum())
    labels = f"{len(source.classes)} classes, {labelled} with a label" \
        if source.classes else "no labels"  # fmt: skip
    captioned = ", with captions" if "text" in run.method.sources else ""
    return f"{len(source)} to train on, {labels}{captioned}"


def _count(run: Run) -> int:
    return trees.count(trees.drop(run.abstract.params, trees.STATISTICS))


def _operations(traced: Any) -> int:
    """FLOPs of a step; 0 where a loop's length is not known."""
    try:
        return flops.of(traced.jaxpr.jaxpr)
    except ValueError:
        return 0


def _least(run: Run, operations: int) -> str:
    """The least time, at the peak of the devices where that is known."""
    peak = peaks.peak(run.mesh.devices.flat, run.config.dtype)
    return "" if peak is None else f": {operations / peak / 3600:.2g} hours at least, at their peak"
