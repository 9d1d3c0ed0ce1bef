"""Whether a disk has room for the checkpoints of a run: asked before its first step."""

import logging
import os
from pathlib import Path

import jax

from m3i_jax import ordinary
from m3i_jax.checkpoints import place, storage
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.training import schema
from m3i_jax.training.assemble import Run

LOG = logging.getLogger(__name__)


def checkpoint(run: Run) -> int:
    """Bytes of a checkpoint: of the state, all of which it holds."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(run.abstract))


def most(run: Run, *, start: int = 0) -> int:
    """Checkpoints that lie there at once: those that are kept, and one that is being written; no
    more than are made from `start` on."""
    saves = schema.Saves(**run.config.checkpoint)
    made = -(-(run.total - start) // saves.every) if saves.every else 1
    return min(saves.keep + 1, max(1, made))


def free(workdir: Path) -> int:
    """Bytes that are left where a work directory is, or will be; a huge number if nobody knows."""
    around = (Path(os.path.abspath(workdir)), *Path(os.path.abspath(workdir)).parents)
    try:
        return storage.free(next(path for path in around if path.exists()))
    except OSError:
        return 2**62


def require(run: Run, workdir: Path) -> None:
    """Refuses a run whose first checkpoint would not be written.

    Raises:
      Unwritable: the disk has no room for one.
    """
    if (left := free(workdir)) < (size := checkpoint(run)):
        raise Unwritable(
            f"'{workdir}' has {ordinary.size(left)} left, and a checkpoint takes "
            f"{ordinary.size(size)}; make room, or take another --workdir"
        )


def warn(run: Run, workdir: Path) -> None:
    """Says that the disk will be full before all checkpoints lie there, where it will."""
    there = place.steps(workdir)
    lacking = min(most(run, start=max(there, default=0)), max(1, most(run) - len(there)))
    needed, left = lacking * checkpoint(run), free(workdir)
    if left < needed:
        LOG.warning(
            "'%s' has %s left, and the checkpoints to come, %d at once, take %s: make room, or "
            "keep fewer by config.checkpoint.keep=2",
            *(workdir, ordinary.size(left), lacking, ordinary.size(needed)),
        )
