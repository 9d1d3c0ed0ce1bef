"""Steps of a directory: which there are, whether they are what was sealed, and what is in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax.checkpoints import serialize
from m3i_jax.checkpoints import storage as disk
from m3i_jax.checkpoints.faults import CheckpointError, Damage, Mismatch, damaged
from m3i_jax.checkpoints.storage import Storage


class Restored(NamedTuple):
    """A step that was read: its items by name, and the JSON-able data saved with them."""

    step: int
    items: dict[str, Any]
    meta: dict[str, Any]


class Steps(NamedTuple):
    """The steps of a directory, each a sealed folder that is called after its number."""

    directory: Path
    storage: Storage = Storage()

    def numbers(self) -> list[int]:
        """Steps that have a directory, sound or not, in ascending order."""
        if not self.directory.is_dir():
            return []
        names = (p.name for p in self.directory.iterdir() if p.is_dir())
        return sorted(int(name) for name in names if name.isdecimal())

    def said(self) -> str:
        """The same, in words."""
        return ", ".join(map(str, self.numbers())) or "none"

    def verify(self, step: int, **options: Any) -> dict[str, Any]:
        """`storage.verify`, and that the directory is of the step that it is called after."""
        manifest = disk.verify(self.directory / str(step), storage=self.storage, **options)
        if manifest.get("step") != step or not {"items", "meta"} <= manifest.keys():
            raise Damage(f"it was saved as step {manifest.get('step')!r:.20}, or not as a step")
        if wrong := serialize.fault(manifest["items"]):
            raise Damage(f"{disk.MANIFEST} does not say what {wrong} is")
        return manifest

    def manifest(self, step: int, within: tuple[str, ...]) -> dict[str, Any]:
        """The manifest of a step, verified.

        Raises:
          CheckpointError: it is damaged.
        """
        try:
            return self.verify(step, within=within)
        except Damage as damage:
            raise self._broken(step, damage) from damage

    def item(self, step: int, name: str) -> dict[str, Any]:
        """One item as a nested dict of NumPy arrays, without knowing its shape beforehand.

        Raises:
          Mismatch: there is no such item.
          CheckpointError: the step is damaged.
        """
        record = self.manifest(step, (name,))["items"]
        if name not in record:
            raise Mismatch(f"step {step} has no item '{name}', only {', '.join(sorted(record))}")
        try:
            arrays = serialize.load(self.directory / str(step), {name: record[name]})
        except Damage as damage:
            raise self._broken(step, damage) from damage
        return serialize.complete(arrays[name], record[name])

    def load(
        self, step: int, abstract: Mapping[str, Any], *, optional: Sequence[str] = ()
    ) -> Restored:
        """The items of `abstract`, in its shapes and shardings; the files are not verified.

        optional: see `Checkpoints.restore`.

        Raises:
          Mismatch: names, shapes or dtypes differ.
          Damage: it cannot be read.
        """
        manifest = disk.read_seal(self.directory / str(step))
        recorded = manifest["items"]
        wanted = serialize.fitting(recorded, abstract, optional)
        if wrong := serialize.mismatch(recorded, wanted):
            raise Mismatch(f"checkpoint step {step} {wrong}")
        kept = {name: recorded[name] for name in wanted}
        arrays = serialize.load(self.directory / str(step), kept, wanted=wanted)
        items = {
            name: serialize.from_dict(arrays[name], tree, recorded[name])
            for name, tree in wanted.items()
        }
        return Restored(step, items, manifest["meta"])

    def _broken(self, step: int, damage: Damage) -> CheckpointError:
        """What is said where a step was asked for that is damaged."""
        there = f"in {self.directory}; steps on disk: {self.said()}"
        return CheckpointError(f"{damaged(step, damage)} {there}")
