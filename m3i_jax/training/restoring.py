"""What a run starts from: the newest save, an emergency one where all processes have it."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import json_lines
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.checkpoints.local import LocalCheckpoints
from m3i_jax.checkpoints.steps import Restored
from m3i_jax.data import captions, fingerprint
from m3i_jax.parallel import processes, sharding
from m3i_jax.training import frozen, going_on, init_from, spikes, starts
from m3i_jax.training.assemble import Run
from m3i_jax.training.schema import Saves
from m3i_jax.training.spikes import Spikes
from m3i_jax.training.state import RECENT, TrainState
from m3i_jax.training.waiting import live

LOG = logging.getLogger(__name__)


def local(saves: Saves, workdir: Path) -> LocalCheckpoints | None:
    """The emergency saves of a run that has been started; None where no folder is said.

    All processes ask together. A work directory that is begun anew is another run.
    """
    if saves.local is None:
        return None
    first = next(iter(json_lines.lines(json_lines.content(workdir / starts.FILE))), "")
    said = f"{workdir.absolute()}\n{first}".encode()
    own = int(hashlib.sha256(said).hexdigest()[:7], 16) if first else -1
    (number,) = processes.from_first(own)
    if number < 0:
        return None
    return LocalCheckpoints(saves.local, f"{workdir.name}-{number:07x}", keep=saves.local_keep)


def newest(
    run: Run, kept: Checkpoints, emergency: LocalCheckpoints | None, step: int | None
) -> Restored | None:
    """What a run goes on from; None where nothing was saved.

    step: the newest emergency save that all processes have; None = there is none.

    Raises:
      Mismatch, CheckpointError: see `Checkpoints.restore`.
    """
    wanted, optional = sharding.abstract(run.abstract.items(), run.shardings.items()), (RECENT,)
    if emergency is not None and step is not None and step > (kept.latest() or 0):
        if (found := emergency.restore(step, wanted, optional=optional)) is not None:
            LOG.info("step %d is an emergency save, which every process has of its own", step)
            return found
    with live("reading the checkpoint"):
        return kept.restore(wanted, optional=optional)


def state_of(run: Run, restored: Restored) -> TrainState:
    """The state that was saved; a window of spikes that was not begins empty."""
    state = TrainState.of(restored.items)
    if state.recent is None and run.abstract.recent is not None:
        empty = spikes.empty(Spikes(**run.config.spikes))
        return state.replace(recent=jax.device_put(empty, run.shardings.recent))
    return state


def start(
    run: Run,
    restored: Restored | None,
    *,
    mark: dict[str, Any],
    tokenizer: captions.Captions | None,
    deliberate: Sequence[str],
) -> tuple[TrainState, dict | None]:
    """(state, position in the data) that was restored, or the initial state and None.

    mark: fingerprint of the data.  deliberate: keys that somebody changes on purpose.

    Raises:
      ConfigError: other data, which nobody asked for.
    """
    if restored is None:
        begun = init_from.find(run, tokenizer=tokenizer)  # both before anything compiles
        towers = frozen.find(run, tokenizer=tokenizer)
        with live("making the network"):
            state = init_from.fill(run, run.create(), begun)
        return frozen.fill(run, state, towers), None
    changed = fingerprint.changes(restored.meta["fingerprint"], mark)
    if refused := going_on.refused(changed, deliberate):
        raise ConfigError(f"the data changed under the checkpoint: {'; '.join(refused)}")
    LOG.info("going on from step %d", restored.step)
    position = restored.meta["data"]
    if changed:
        position = going_on.position(position, batch=run.config.batch)
    return state_of(run, restored), position
