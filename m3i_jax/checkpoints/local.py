"""Emergency saves: each process writes what its devices have to a disk of its own, and often.

They stand beside the checkpoints that all processes share and take nothing from what these promise:
one that cannot be written is said, and the run goes on. They serve where the same number of
processes comes back on the same disks, with the same mesh; where a part is missing or damaged
anywhere, nobody uses them.

    <folder>/<run>/process-<i>-of-<n>/<step>/{parts.safetensors, manifest.json}
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from m3i_jax import trees
from m3i_jax.checkpoints import serialize
from m3i_jax.checkpoints import storage as disk
from m3i_jax.checkpoints.faults import CheckpointError, Damage, damaged
from m3i_jax.checkpoints.steps import Restored, Steps
from m3i_jax.checkpoints.storage import Storage
from m3i_jax.parallel import processes

LOG = logging.getLogger(__name__)
FILE = "parts.safetensors"
SAVING = ".saving"
PATIENCE = 10.0  # seconds that the end of a run waits for a disk
MOST = 4  # steps of a process that the others are told of


class LocalCheckpoints:
    """The emergency saves of this process.

    Args:
      folder: on a disk of this machine; made if it is not there.
      run: tells a run from others that have saved there.
      keep: newest steps that stay; of 1 a process killed while it saves may leave none in common.
      storage: how files are written; tests pass one that fails.

    Raises:
      CheckpointError: the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, run: str, *, keep: int = 2, storage: Storage = Storage()
    ):
        of = f"-of-{jax.process_count()}"
        self._runs = Path(folder).absolute() / run
        self._steps = Steps(self._runs / f"process-{jax.process_index()}{of}", storage)
        self._keep, self._storage = keep, storage
        self._pending: Future | None = None
        try:
            self._steps.directory.mkdir(parents=True, exist_ok=True)
            for other in self._runs.iterdir():  # of other numbers of processes: nobody reads them
                if not other.name.endswith(of):
                    storage.remove(other)
            for leftover in self._steps.directory.glob(f"*{SAVING}"):
                storage.remove(leftover)
        except OSError as error:
            why = error.strerror or error
            raise CheckpointError(
                f"config.checkpoint.local, '{folder}', cannot be written: {why}"
            ) from error

    def newest(self) -> int | None:
        """The newest step that every process has, each byte as it was written; all ask together."""
        own = [step for step in self._steps.numbers() if self._sound(step)][-MOST:]
        told = processes.gathered(np.int32(own + [-1] * (MOST - len(own))))
        common = set.intersection(*(set(row.tolist()) for row in told.reshape(-1, MOST))) - {-1}
        return max(common, default=None)

    def _sound(self, step: int) -> bool:
        try:
            self._steps.verify(step)
        except (Damage, OSError) as damage:
            LOG.warning("%s, in %s; it is not used", damaged(step, damage), self._steps.directory)
            return False
        return True

    def save(self, step: int, items: Mapping[str, Any], meta: Mapping[str, Any]) -> bool:
        """Copies what this process has, and writes it in the background; whether it was begun.

        Not where the one before is still being written, nor of what is not finite.

        Args:
          items, meta: see `Checkpoints.save`.
        """
        arrays = {name: serialize.to_dict(tree) for name, tree in items.items()}
        late = self._pending is not None and not self._pending.done()
        if late or (bad := serialize.not_finite(arrays)):
            why = "the one before is still being written" if late else f"{bad} is not finite"
            LOG.warning("step %d is not saved in %s: %s", step, self._steps.directory, why)
            return False
        described = {name: serialize.describe(tree) for name, tree in items.items()}
        parts, places = _parts(arrays)
        record = {"step": step, "meta": dict(meta), "items": described, "parts": places}
        self._pending = disk.in_background(lambda: self._write(step, record, parts))
        return True

    def _write(self, step: int, record: dict[str, Any], parts: dict[str, np.ndarray]) -> None:
        """Writes aside, seals, names, deletes what is too old; says what keeps it from that."""
        aside, final = (self._steps.directory / f"{step}{end}" for end in (SAVING, ""))
        try:
            self._storage.remove(aside)
            self._storage.remove(final)
            aside.mkdir(parents=True)
            save_file(parts, aside / FILE)
            disk.seal(aside, record, storage=self._storage)
            self._storage.rename(aside, final)
            for old in self._steps.numbers()[: -self._keep]:
                self._storage.remove(self._steps.directory / str(old))
        except Exception as error:  # noqa: BLE001, whatever a disk raises
            LOG.warning("step %d could not be saved in %s: %s", step, aside.parent, error)

    def restore(
        self, step: int, abstract: Mapping[str, Any], *, optional: Sequence[str] = ()
    ) -> Restored | None:
        """A step that `newest` gave; None, and a warning, where it does not fit. All ask together.

        Args:
          abstract, optional: see `Checkpoints.restore`.
        """
        found, met = None, None
        try:
            found = self._load(step, abstract, optional)
        except Exception as error:  # noqa: BLE001, the shared checkpoints are there
            met = error
        if processes.anywhere(met is not None):
            why = met or "another process cannot read it"
            LOG.warning("step %d of %s is not used: %s", step, self._steps.directory, why)
            return None
        return found

    def _load(self, step: int, abstract: Mapping[str, Any], optional: Sequence[str]) -> Restored:
        manifest = self._steps.verify(step)
        recorded, places = manifest["items"], manifest["parts"]
        wanted = serialize.fitting(recorded, abstract, optional)
        if wrong := serialize.mismatch(recorded, wanted):
            raise Damage(f"it {wrong}")
        items = {}
        with safe_open(self._steps.directory / str(step) / FILE, framework="numpy") as file:
            for name, tree in wanted.items():
                shapes = serialize.template(tree)
                read = lambda path, leaf, name=name: _placed(  # noqa: E731
                    file, places[f"{name}/{path}"], f"{name}/{path}", leaf
                )
                arrays = trees.map_with_name(read, shapes)
                items[name] = serialize.from_dict(arrays, tree, recorded[name])
        return Restored(step, items, manifest["meta"])

    def clear(self) -> None:
        """Deletes all saves of this process: the run is done."""
        self.close()
        try:
            self._storage.remove(self._steps.directory)
            self._runs.rmdir()
        except OSError:  # another process has its own there
            pass

    def close(self) -> None:
        """Waits for the last save, but for no disk that hangs."""
        if self._pending is not None:
            try:
                self._pending.result(timeout=PATIENCE)
            except TimeoutError:
                LOG.warning("%s does not answer", self._steps.directory)


Place = list[list[int]]  # [start, stop] along each axis


def _parts(arrays: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, list[Place]]]:
    """What this process has of arrays, each part once: their bytes by name, and where they are."""
    parts, places = {}, {}
    for path, leaf in trees.named_leaves(arrays):
        places[path] = []
        for place, part in _of(leaf):
            if place not in places[path]:
                parts[f"{path}#{len(places[path])}"] = _bytes(part)
                places[path].append(place)
    return parts, places


def _of(leaf: Any) -> Iterator[tuple[Place, Any]]:
    """(place, part) of an array that devices of this process have."""
    if not isinstance(leaf, jax.Array):
        yield _place((slice(None),) * np.ndim(leaf), np.shape(leaf)), leaf
        return
    for shard in leaf.addressable_shards:
        yield _place(shard.index, leaf.shape), shard.data


def _place(index: Sequence[slice], shape: Sequence[int]) -> Place:
    return [list(part.indices(size)[:2]) for part, size in zip(index, shape, strict=True)]


def _bytes(part: Any) -> np.ndarray:
    """A copy of an array, whatever its dtype, as bytes: the original may be given away."""
    return np.frombuffer(np.asarray(part).tobytes(), np.uint8)


def _placed(file: Any, places: list[Place], path: str, leaf: Any) -> Any:
    """The array of parts, as `leaf` is shaped and shared out.

    Raises:
      Damage: other parts are wanted than were saved.
    """

    def part(index: Sequence[slice]) -> np.ndarray:
        place = _place(index, leaf.shape)
        if place not in places:
            raise Damage(f"its parts of '{path}' are those of another mesh")
        raw = file.get_tensor(f"{path}#{places.index(place)}")
        return raw.view(leaf.dtype).reshape([stop - start for start, stop in place])

    if isinstance(leaf, np.ndarray):
        return part((slice(None),) * leaf.ndim)
    return jax.make_array_from_callback(leaf.shape, leaf.sharding, part)
