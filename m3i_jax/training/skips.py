"""Steps that were left out: each is said with its cause and bundled; too many end a run."""

from collections.abc import Callable, Mapping
from logging import getLogger
from pathlib import Path
from typing import Any, NamedTuple

import jax

from m3i_jax.checkpoints.faults import NotFinite, Unwritable
from m3i_jax.data.batches import records
from m3i_jax.training import bundle, spikes, starts
from m3i_jax.training.assemble import Run
from m3i_jax.training.bundle import Bundle
from m3i_jax.training.loop import Hook, StepInfo
from m3i_jax.training.spikes import SKIPPED, Spikes

LOG = getLogger(__name__)
EVERY = 8  # steps from one look at the counter to the next
LAG = 2  # steps that are let be: long enough not to hold up the device
PATIENCE = 100  # steps in a row that may be left out before the run gives up


class Seen(NamedTuple):
    """A step whose numbers are still on the device.  position: of the data behind it."""

    step: int
    position: Any
    metrics: Mapping[str, Any]


def watching(
    policy: Spikes,
    tell: Callable[[Seen, str], None],
    *,
    before: int = 0,
    patience: int = PATIENCE,
) -> Hook:
    """Calls `tell(step, why)` for every step that was left out, some steps behind it.

    before: how many had been before the first step.

    Raises:
      NotFinite: when `patience` steps in a row were.
    """
    waiting: list[Seen] = []
    known = {"step": 0, "skipped": before, "row": 0}  # `row`: the last so many in a row

    def look(seen: list[Seen]) -> None:
        # One number tells whether there is anything: others are fetched only then.
        if int(seen[-1].metrics[SKIPPED]) == known["skipped"]:
            known["row"] = 0
            return
        for one in seen:
            metrics = {name: float(value) for name, value in _scalars(one.metrics).items()}
            skipped, known["skipped"] = metrics[SKIPPED] > known["skipped"], int(metrics[SKIPPED])
            known["row"] = known["row"] + 1 if skipped else 0
            if skipped:
                why = spikes.why(policy, metrics)
                tell(one._replace(metrics=metrics), why)
                _give_up(one.step, known["row"], why, patience)

    def hook(info: StepInfo) -> None:
        if info.step > known["step"]:  # one that is parted from is met twice
            waiting.append(Seen(info.step, info.position, info.metrics))
            known["step"] = info.step
        if not info.last and info.step % EVERY:
            return
        ready = [one for one in waiting if info.last or one.step <= info.step - LAG]
        del waiting[: len(ready)]
        if ready:
            look(ready)

    return hook


def _scalars(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """On the host, all at once."""
    return jax.device_get(dict(metrics))


def _give_up(step: int, row: int, why: str, patience: int) -> None:
    if row >= patience:
        raise NotFinite(
            f"loss or gradient has not been finite, or was a spike, for {row} steps up to step "
            f"{step}, where {why}; the last checkpoint is from before; a lower learning rate or a "
            f"look at the data may help: m3i replay WORKDIR/{bundle.FOLDER}/STEP.json"
        )


def of_run(run: Run, inputs: Any, workdir: Path, *, before: int) -> Hook:
    """`watching` a run, which says and bundles what is left out; see `bundling`."""
    policy = Spikes(**run.config.spikes)
    return watching(policy, bundling(run, inputs, workdir), before=before)


def bundling(run: Run, inputs: Any, workdir: Path) -> Callable[[Seen, str], None]:
    """tell(step, why): a warning, and a bundle in the work directory, by the first process.

    inputs: of the session: the source, its fingerprint, how it is cropped.
    """

    def tell(seen: Seen, why: str) -> None:
        if jax.process_index():
            return
        path = bundle.path_of(workdir, seen.step)
        LOG.warning("step %d is left out: %s; m3i replay %s", seen.step, why, path)
        try:
            bundle.write(workdir, _bundle(run, inputs, seen, why))
        except Unwritable as error:
            LOG.warning("%s; the training goes on", error)

    return tell


def _bundle(run: Run, inputs: Any, seen: Seen, why: str) -> Bundle:
    config = run.config
    sizes = dict(batch=config.batch, seed=config.seed, repeats=inputs.crops.repeats)
    return Bundle(
        step=seen.step,
        why=why,
        seed=config.seed,
        records=records(inputs.source, **sizes, behind=seen.position),
        position=dict(seen.position),
        fingerprint=inputs.fingerprint,
        config=config.to_dict(),
        metrics=dict(seen.metrics),
        versions=starts.versions(),
    )
