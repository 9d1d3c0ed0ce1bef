"""Copies of one state agree: what devices hold is compared, before a save and in between."""

from collections.abc import Callable

from m3i_jax.checkpoints.faults import CopiesDiffer
from m3i_jax.parallel import replicas
from m3i_jax.training.assemble import Run
from m3i_jax.training.lengths import due
from m3i_jax.training.loop import Hook, StepInfo

SHOWN = 3  # copies in a sentence


def agreeing(run: Run) -> Callable[[StepInfo], None]:
    """check(info): refuses a state of which devices hold copies that differ.

    All processes ask together. With one device there is nothing to compare; a step that has been
    found sound is not compared again.

    Raises:
      CopiesDiffer: names the devices, and the arrays.
    """
    if run.mesh.size == 1:
        return lambda info: None
    compare = replicas.compare(run.shardings, run.mesh)
    sound = [-1]  # the newest step whose copies agree

    def check(info: StepInfo) -> None:
        if info.step == sound[0]:
            return
        if found := compare(info.leaves):
            raise CopiesDiffer(sentence(info.step, found))
        sound[0] = info.step

    return check


def comparing(check: Callable[[StepInfo], None], *, every: int) -> Hook:
    """`agreeing`'s check after every `every` steps, of which nothing need be saved; 0 = never."""
    return lambda info: check(info) if due(info.step, every) else None


def sentence(step: int, found: list[replicas.Difference]) -> str:
    """What to say of copies that differ behind a step."""
    sure = [one for one in found if one.sure]
    devices = sorted({f"{one.device} of process {one.process}" for one in sure or found})
    paths = sorted({one.path for one in found})
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    who = "holds" if len(devices) == 1 else "hold"
    blame = (
        f"{', '.join(devices[:8])} {who} another copy than most"
        if sure
        else f"{', '.join(devices[:8])} hold different copies, and which is right nobody can tell"
    )
    return (
        f"behind step {step} the devices do not hold the same state: {blame} "
        f"({', '.join(paths[:SHOWN])}{more}). A device computes or keeps something wrong; what was "
        "saved before stays, and the same command goes on from it, best without that device"
    )
