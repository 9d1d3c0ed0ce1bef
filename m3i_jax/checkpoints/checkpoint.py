"""Checkpoints that can be trusted: written aside, sealed with digests, then given their name.

A step directory appears in one rename, after Orbax has committed it and a manifest with the
SHA-256 of every file has been written; so a step exists completely or not at all, and a changed
byte is found when it is read. On disk every item is a plain nested dict of arrays, whatever records
it had in memory:

    <directory>/<step>/{online, ema, state}/...   Orbax, one sub-directory per item
    <directory>/<step>/manifest.json              meta, names, shapes, dtypes, digests
"""

import contextlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import jax

from m3i_jax import ordinary
from m3i_jax.build import ConfigError, UserError
from m3i_jax.checkpoints import serialize
from m3i_jax.checkpoints import storage as disk
from m3i_jax.checkpoints.faults import CheckpointError, Damage, NotFinite, damaged
from m3i_jax.checkpoints.steps import Restored, Steps
from m3i_jax.checkpoints.storage import Storage
from m3i_jax.parallel import processes

LOG = logging.getLogger(__name__)
SAVING = ".saving"
LEFT = (".removed", ".replaced")
LOCK = ".lock"


class Checkpoints:
    """The checkpoints of one work directory.

    Args:
      directory: made if it is not there.
      keep: newest steps to keep, at least 2, so that a damaged one leaves another.
      keep_every: steps divisible by it are kept for ever.
      deadline: seconds after which an unfinished save counts as failed.
      pauses: seconds to wait before an operation that met an OSError is tried again.
      read_only: for reading beside a run: no lock, nothing made or deleted.
      storage, write: how files and arrays are written; tests pass ones that fail.

    Raises:
      CheckpointError: the directory cannot be written.
      Locked: another run writes to it.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        keep: int = 2,
        keep_every: int | None = None,
        deadline: float = 1800.0,
        pauses: Sequence[float] = (0.1, 1.0),
        read_only: bool = False,
        storage: Storage = Storage(),
        write: Callable = serialize.save,
    ):
        if keep < 2:
            raise ConfigError(f"keep = {keep} leaves nothing to fall back on; expected 2 or more")
        self.directory = Path(directory).absolute()
        self._keep, self._keep_every, self._deadline = keep, keep_every, deadline
        self._read_only, self._write = read_only, write
        self._storage = disk.patient(storage, pauses)
        self._there = Steps(self.directory, self._storage)
        self.marked: list[int] = []  # steps to keep, of which the last that is there stays
        self.failures = 0  # saves that have failed since one last went well
        self._damaged: set[int] = set()
        self._newest: int | None = None
        self._pending: Future | None = None
        self._primary = jax.process_index() == 0
        self._held = contextlib.ExitStack()
        if self._primary and not read_only:
            self._hold()
            for leftover in self.directory.iterdir():
                if SAVING in leftover.name or leftover.name.endswith(LEFT):
                    storage.remove(leftover)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _hold(self) -> None:
        """Makes the directory and locks it: at the start, and where somebody has deleted it."""
        self._held.close()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._holds = self._held.enter_context(disk.lock(self.directory / LOCK))
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> CheckpointError:
        return CheckpointError(f"'{self.directory}' cannot be written: {error.strerror or error}")

    def steps(self) -> list[int]:
        """Steps that have a directory, sound or not, in ascending order."""
        return self._there.numbers()

    def save(
        self, step: int, items: Mapping[str, Any], meta: Mapping[str, Any], *, wait: bool = False
    ) -> bool:
        """Writes a step in the background; returns once the arrays may be donated.

        Args:
          step: its number; False is returned when this object has just saved or restored it.
          items: trees of arrays by name.
          meta: JSON-able data.
          wait: return only when the step is on disk.

        Raises:
          NotFinite: an array is not finite; what is on disk stays.
          CheckpointError: this save, or the one before it in the background, has failed.
        """
        self.settle()
        if self._read_only:
            raise CheckpointError(f"{self.directory} was opened to read only")
        # A directory that somebody has deleted does not have our lock any more.
        gone = processes.anywhere(self._primary and not self._holds())
        self._newest = None if gone else self._newest
        if step == self._newest:
            return False
        described = {name: serialize.describe(tree) for name, tree in items.items()}
        record = {"step": step, "meta": json.loads(json.dumps(meta)), "items": described}
        arrays = {name: serialize.to_dict(tree) for name, tree in items.items()}
        bad = serialize.not_finite(arrays)
        if processes.anywhere(bool(bad)):
            raise NotFinite(
                f"step {step} is not saved: {bad or 'a leaf'} is not finite; steps on disk: "
                f"{self._there.said()}; a lower learning rate or a look at the data may help"
            )
        self._agree(self._room(arrays, gone))
        aside, met = self.directory / f"{step}{SAVING}", None
        try:
            if self._primary:
                self._storage.remove(aside)
            response = self._write(aside, {name: tree for name, tree in arrays.items() if tree})
        except Exception as error:  # noqa: BLE001, whatever a disk and Orbax raise
            met = self._failure(step, aside, error)
        self._agree(met)
        self._pending = disk.in_background(lambda: self._commit(step, record, aside, response))
        self._pending.step = step
        self._newest = step
        if wait:
            self.settle(there=step)
        return True

    def _commit(self, step: int, record: dict, aside: Path, response: Any) -> None:
        """Waits for the arrays, seals the directory, names it, deletes what is too old."""
        try:
            response.result(timeout=self._deadline)
            if not self._primary:
                return
            disk.seal(aside, record, storage=self._storage)
            final = self.directory / str(step)
            replaced = self.directory / f"{step}.replaced"
            if final.exists():
                self._storage.rename(final, replaced)
            self._storage.rename(aside, final)
            self._storage.remove(replaced)
            self._damaged.discard(step)
            self._delete_old()
        except Exception as error:
            raise self._failure(step, aside, error) from error

    def _failure(self, step: int, aside: Path, error: Exception) -> CheckpointError:
        """Clears what a failed save left, and says what is still there."""
        with contextlib.suppress(OSError):
            for leftover in self.directory.glob(aside.name + "*") if self._primary else ():
                self._storage.remove(leftover)
        reason = f"no end after {self._deadline:g} s" if isinstance(error, TimeoutError) else error
        return CheckpointError(
            f"saving step {step} to {self.directory} failed ({type(error).__name__}: {reason}); "
            f"steps on disk: {self._there.said()}"
        )

    def _room(self, arrays: Any, gone: bool) -> UserError | None:
        """What is wrong where arrays cannot be written; a directory that is gone is made again."""
        try:
            if gone and self._primary:
                LOG.warning("'%s' has been deleted; making it again", self.directory)
                self._hold()
            left = self._storage.free(self.directory) if self._primary else math.inf
        except UserError as error:
            return error
        except OSError as error:
            return self._unwritable(error)
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
        if left >= needed:
            return None
        return CheckpointError(
            f"{self.directory} has {ordinary.size(left)} left, "
            f"a checkpoint needs up to {ordinary.size(needed)}"
        )

    def _delete_old(self) -> None:
        """Deletes steps older than the newest `keep` sound ones; the newest was just sealed.

        Of those that are `marked` the last stays: the best so far, until a better one is sealed.
        """
        sound = [step for step in self.steps() if self._looks_sound(step)]
        kept = set(sound[-self._keep :]) | set([s for s in self.marked if s in sound][-1:])
        if self._keep_every:
            kept |= {step for step in sound if step % self._keep_every == 0}
        for step in self.steps():
            if step not in kept and step < sound[-1]:
                self._storage.remove(self.directory / str(step))

    def _looks_sound(self, step: int) -> bool:
        """Whether the manifest is whole and every file has its size; contents are not read."""
        with contextlib.suppress(Damage):
            self._there.verify(step, contents=False)
            return step not in self._damaged
        return False

    def failed(self) -> bool:
        """Whether the last save is known to have failed, on any process; all must ask together."""
        if self._pending is None:
            return self.failures > 0
        return processes.anywhere(self._pending.done() and self._pending.exception() is not None)

    def settle(self, *, there: int = 0) -> None:
        """`wait` for all processes together: what one of them has met is raised on all.

        there: a step that was saved, which has to be on disk then; 0 = none.
        """
        error, saving = None, self._pending is not None
        try:
            self.wait()
            if there and self._primary and there not in self.steps():
                gone = f"step {there} was saved, but '{self.directory}' was deleted or moved since"
                raise CheckpointError(f"{gone}; steps on disk: {self._there.said()}")
        except CheckpointError as met:
            error = met
        self._agree(error)
        if saving:
            self.failures = 0

    def _agree(self, error: CheckpointError | None) -> None:
        """Raises the error of this process, or says that another process has one."""
        if processes.anywhere(error is not None):
            self.failures, self._newest = self.failures + 1, None
            raise error or CheckpointError(f"another process cannot save to {self.directory}")

    def wait(self) -> None:
        """Waits until nothing is being written; raises what the save has met."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.result(timeout=self._deadline)
        except BaseException as error:
            self._newest = None
            if isinstance(error, TimeoutError):
                aside = self.directory / f"{pending.step}{SAVING}"
                raise self._failure(pending.step, aside, error) from error
            raise

    def close(self) -> None:
        """Waits for the last save and lets go of the directory."""
        try:
            self.wait()
        finally:
            self._held.close()

    def latest(self) -> int | None:
        """The newest step whose every byte is as it was written, or None."""
        return self._newest_sound(self.steps(), None)[0]

    def meta(self, step: int) -> dict[str, Any]:
        """The JSON-able data saved with a step."""
        return self._there.manifest(step, ())["meta"]

    def restore_item(self, step: int, name: str) -> dict[str, Any]:
        """One item as a nested dict of NumPy arrays, without knowing its shape beforehand."""
        return self._there.item(step, name)

    def restore(
        self,
        abstract: Mapping[str, Any],
        *,
        step: int | None = None,
        optional: Sequence[str] = (),
    ) -> Restored | None:
        """Reads items into the shapes and shardings of `abstract`, any mesh.

        Args:
          abstract: trees of arrays or ShapeDtypeStructs by name; only these items are read.
          step: which; None takes the newest sound one, and says so where it is not the newest.
          optional: items that a step may lack, or have otherwise: they are not restored then.

        Returns:
          The step, or None for a directory without any.

        Raises:
          Mismatch: names, shapes or dtypes differ.
          CheckpointError: the named step is damaged, or every step is.
        """
        self.wait()
        steps, faults = self.steps() if step is None else [step], []
        while steps:
            newest, damage = self._newest_sound(steps, tuple(abstract))
            faults += damage
            if newest is None:
                break
            try:
                restored = self._there.load(newest, abstract, optional=optional)
            except (Damage, OSError, ValueError) as error:
                faults.append(damaged(newest, error))
                self._damaged.add(newest)
                steps = [s for s in steps if s < newest]
                continue
            if faults:
                LOG.warning("%s; going back to step %d", "; ".join(faults), newest)
            self._newest = newest
            return restored
        if step is not None or faults:
            raise CheckpointError(
                f"no checkpoint can be restored from {self.directory}: {'; '.join(faults)}"
                + ("" if step is not None else "; to start afresh, take another work directory")
            )
        return None

    def _newest_sound(self, steps: list[int], within: Any) -> tuple[int | None, list[str]]:
        """(newest sound step, the faults of newer ones); process 0 looks, the others are told."""
        sound, faults = None, []
        if self._primary:
            for step in reversed(steps):
                try:
                    self._there.verify(step, within=within)
                except Damage as damage:
                    faults.append(damaged(step, damage))
                    self._damaged.add(step)
                    continue
                sound = step
                break
        step, count = processes.from_first(-1 if sound is None else sound, len(faults))
        faults = faults or [f"{count} damaged (see process 0)"] * bool(count)
        return (None if step < 0 else step), faults
