"""What a run tells the world: metrics.jsonl (the truth), pictures, trackers, a progress line.

None of it can stop or slow the training: lines are appended in one write, everything else happens
on threads, see `background`.
"""

import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

import numpy as np
from PIL import Image

from m3i_jax import jsonfile, ordinary, renamed
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import json_lines, place, storage
from m3i_jax.ranges import shown
from m3i_jax.training.background import Background
from m3i_jax.training.progress import Progress
from m3i_jax.training.resolved import resolved, under
from m3i_jax.training.trackers.tracker import Tracker

LOG = logging.getLogger(__name__)

# Keys that change what is written or where it runs, not what is computed. Another number of
# devices is another order of summation, so `mesh` is here on purpose: equal but for rounding.
SAFE = ("log", "checkpoint", "monitor", "validation", "mesh")

# What to say to somebody who wants a run to go on for longer.
LONGER = (
    ". A run of another length has other learning rates from its first step on, so it does not "
    "continue this one; --resume_with 'duration=…' goes on nevertheless, with rates spanned anew"
)

AWAY = "; put back what the run was made with, or take another work directory"
FIRST = re.compile(r"objective\.name|data\.|encoder\.name|duration")  # what tells runs apart
SHOWN = 4  # changes of a config in a sentence

PATIENCE = 10.0  # seconds that the end of all trackers may take
CONFIG, METRICS = "config.json", "metrics.jsonl"
_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Log:
    """Writes the metrics of a run.

    Args:
      workdir: gets metrics.jsonl and images/.
      total: steps of the run, for the progress line.
      start: step that the run resumes from; lines of later steps are dropped, as they will be
        written again.
      active: whether this process writes; in a run of many only the first does.
      trackers: by name what opens each of them, see `training.trackers.openers`.
      stream: of the progress line.
      clock: seconds, monotonic.
    """

    def __init__(
        self,
        workdir: str | Path,
        *,
        total: int,
        start: int = 0,
        active: bool = True,
        trackers: Mapping[str, Callable[[], Tracker]] = MappingProxyType({}),
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._workdir, self._active = Path(workdir), active
        self._line = Progress(total=total, start=start, stream=stream or sys.stderr, clock=clock)
        self._file, self._listeners, self._told = None, [], False
        if not active:
            return
        with storage.writing(self._workdir):
            self._workdir.mkdir(parents=True, exist_ok=True)
            truncate(self._workdir / METRICS, start)
            self._file = storage.Lines(self._workdir / METRICS)
        files = {"images/": lambda: pictures(self._workdir / "images")}
        self._listeners = [
            Background(name, opened) for name, opened in {**files, **trackers}.items()
        ]

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl, and a point of every curve.

        Numbers keep every bit: float32 and float64 are read back equal by `read`.
        """
        if not self._active:
            return
        plain = {name: _plain(value) for name, value in values.items()}
        line = json.dumps({"step": int(step), **{k: spelled(v) for k, v in plain.items()}}) + "\n"
        try:
            self._file.write(line.encode())
            self._told = False
        except OSError as error:
            if not self._told:
                LOG.warning("metrics.jsonl cannot be written (%s); the training goes on", error)
            self._told = True
        numbers = {k: v for k, v in plain.items() if isinstance(v, int | float)}
        self._send("scalars", int(step), numbers)

    def images(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Pictures (H, W, 3) uint8 as TensorBoard images and workdir/images/<name>-<step>.png."""
        if self._active:
            copies = {name: np.array(picture, np.uint8) for name, picture in pictures.items()}
            self._send("images", int(step), copies)

    def at(self, step: int, doing: Callable[[], str] = lambda: "") -> None:
        """A step is made; from the first one on the progress line says by itself which it is.

        doing: () -> what else the run is at, "" = nothing.
        """
        if self._active:
            self._line.at(step, doing)

    def progress(
        self, step: int, *, loss: float, images_per_second: float, per_step: float | None = None
    ) -> None:
        """The progress line with news of a step, see `Progress.news`."""
        if self._active:
            self._line.news(step, loss=loss, images_per_second=images_per_second, per_step=per_step)

    def close(self) -> None:
        """Flushes what is waiting, for `PATIENCE` seconds at most."""
        if self._active:
            self._active = False
            self._line.close()
            end = time.monotonic() + PATIENCE
            for listener in self._listeners:
                listener.close(max(0.1, end - time.monotonic()))
            self._file.close()

    def _send(self, kind: str, step: int, content: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener.send(kind, step, content)


def pictures(folder: Path) -> Tracker:
    """Writes pictures as folder/<name>-<step>.png; numbers are no matter of it."""

    def images(step: int, given: Mapping[str, np.ndarray]) -> None:
        for name, picture in given.items():
            path = folder / f"{name}-{step:08d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(ordinary.opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), "wb") as file:
                Image.fromarray(picture).save(file, format="PNG")

    return Tracker(lambda step, values: None, images)


def read(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a line cut short by a crash is left out."""
    return parsed(json_lines.content(path))


def parsed(text: bytes) -> list[dict[str, Any]]:
    """The same of what a metrics.jsonl holds."""
    return [entry for line in json_lines.lines(text) if (entry := _parse(line)) is not None]


def truncate(path: str | Path, step: int) -> None:
    """Drops the lines of steps after `step`, and broken ones, in one atomic replacement."""
    path = Path(path)
    text = json_lines.content(path)
    kept = [
        line
        for line in text.splitlines(keepends=True)
        if line.endswith(b"\n") and (e := _parse(line)) is not None and e["step"] <= step
    ]
    if b"".join(kept) != text:
        storage.publish(path, b"".join(kept))


def guard_config(
    workdir: str | Path,
    config: Any,
    *,
    safe: Iterable[str] = SAFE,
    write: bool = True,
    bound: bool = True,
    of_run: Mapping[str, Any] = MappingProxyType({}),
) -> list[str]:
    """Writes workdir/config.json, or compares it with the config that is there.

    Args:
      workdir: of the run.
      config: a ConfigDict, or an object with `to_dict`, or plain data.
      safe: keys that a resumed run may change, with everything below them; the file follows. "*"
        in one is any name.
      write: False only compares (processes other than the first).
      bound: whether steps were saved there. Without any nothing is compared: a start that was
        refused, or that ended before its first checkpoint, left nothing that a config would spoil.
      of_run: what the run takes for keys that its config leaves open, see `resolved.of_run`.

    Returns:
      One phrase for every safe change, such as "log.every was 50, is now 10".

    Raises:
      ConfigError: another config made the directory; the message names the keys; writing
        a default out is no change.
    """
    path = Path(workdir) / CONFIG
    new = _as_json(config)
    changes = []
    if bound and path.exists():
        try:
            old = jsonfile.read(path)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} is not readable JSON: {error}{AWAY}") from error
        if not isinstance(old, dict):
            raise ConfigError(f"{path} is no config but {shown(old)}{AWAY}")
        changes = _real_changes(renamed.config(old), new, of_run)
        if unsafe := _unsafe(changes, tuple(safe)):
            longer = any(text.startswith(("duration ", "warmup ")) for text in unsafe)
            raise ConfigError(
                f"{workdir} was made by another config: {few(unsafe)}. Set it back to go on, or "
                f"start another run with --workdir {place.free(workdir)}{LONGER if longer else ''}"
            )
    if write and (changes or not bound or not path.exists()):
        with storage.writing(workdir):
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.publish(path, (json.dumps(new, indent=2) + "\n").encode())
    return [text for _, text in changes]


def others(workdir: str | Path, config: Any, *, safe: Iterable[str] = SAFE) -> list[str]:
    """What of a config is not as in the run of a work directory, and may not be changed there.

    [] where it is the same run, or none that can be read. See `guard_config`, which refuses these.
    """
    try:
        old = jsonfile.read(Path(workdir) / CONFIG)
    except (OSError, ValueError):
        return []
    if not isinstance(old, dict):
        return []
    return _unsafe(_real_changes(renamed.config(old), _as_json(config), {}), tuple(safe))


def few(changes: Sequence[str]) -> str:
    """Changes of a config for a sentence, those first that tell most, and how many more."""
    first = sorted(changes, key=lambda text: not FIRST.match(text))
    more = f"; and {len(changes) - SHOWN} more keys" if len(changes) > SHOWN else ""
    return "; ".join(first[:SHOWN]) + more


def _unsafe(changes: Iterable[tuple[str, str]], safe: Sequence[str]) -> list[str]:
    """The phrases of changes that are not of the safe keys."""
    return [text for key, text in changes if not any(_within(key, name) for name in safe)]


def _as_json(config: Any) -> Any:
    """Plain JSON data: references resolved, tuples as lists."""
    if hasattr(config, "to_json_best_effort"):
        return json.loads(config.to_json_best_effort())
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    return json.loads(json.dumps(config))


def _real_changes(
    old: dict[str, Any], new: dict[str, Any], of_run: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """`_changes` without those that write a default out, or leave it out: the run is the same."""
    whole = [resolved(config, of_run=of_run) for config in (old, new)]
    return [
        (key, text)
        for key, text in _changes(old, new)
        if _changes(*(under(config, key) for config in whole))
    ]


def _changes(old: Any, new: Any, prefix: str = "") -> list[tuple[str, str]]:
    """(dotted key, phrase) of every difference between two configs."""
    if isinstance(old, dict) and isinstance(new, dict):
        changes = []
        for key in sorted(old.keys() | new.keys()):
            path = f"{prefix}.{key}" if prefix else key
            if key not in old:
                changes.append((path, f"{path} was absent, is now {shown(new[key])}"))
            elif key not in new:
                changes.append((path, f"{path} was {shown(old[key])}, is now absent"))
            else:
                changes += _changes(old[key], new[key], path)
        return changes
    same = old == new and isinstance(old, bool) == isinstance(new, bool)
    return [] if same else [(prefix, f"{prefix} was {shown(old)}, is now {shown(new)}")]


def _within(key: str, name: str) -> bool:
    parts = name.split(".")
    return len(key.split(".")) >= len(parts) and all(
        wanted in ("*", part) for part, wanted in zip(key.split("."), parts, strict=False)
    )


def _parse(line: str | bytes) -> dict[str, Any] | None:
    """The entry of one line, or None for what is not one."""
    try:
        entry = jsonfile.parse(line)
        counted = type(entry["step"]) is int and entry["step"] >= 0
    except (ValueError, KeyError, TypeError):
        return None
    if not counted or not all(map(_is_plain, entry.values())):
        return None
    return {k: unspelled(v) for k, v in entry.items()}


def _is_plain(value: Any) -> bool:
    """Whether a value is one that `Log` writes: a text, or a number that a float can be."""
    if isinstance(value, int):
        return abs(value) < 2**63
    return value is None or isinstance(value, str | float)


def _plain(value: Any) -> Any:
    """A Python number or string; arrays of one element become numbers."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    return np.asarray(value).item()


def spelled(value: Any) -> Any:
    """JSON has no NaN and no infinities; they are written as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def unspelled(value: Any) -> Any:
    """Inverse of `spelled`."""
    return _NAMES.get(value, value) if isinstance(value, str) else value
