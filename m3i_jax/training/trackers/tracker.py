"""What a tracker is to a run, and what a run is to a tracker."""

import os
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import ordinary
from m3i_jax.checkpoints import storage

PROJECT = "m3i_jax"  # where trackers have projects or experiments, unless their own variables say
FOLDER = "trackers"  # of a work directory: for each tracker the identity of the run there
IDENTITY = re.compile(r"[\w.-]{1,128}")


def nothing() -> None:
    """What a tracker does that has nothing to do."""


class Tracker(NamedTuple):
    """What is told of a run; all of it on one thread, and any of it may fail.

    scalars: (step, numbers by name).  images: (step, (H, W, 3) uint8 by name).
    flush: when nothing waits.  close: at the end.
    """

    scalars: Callable[[int, Mapping[str, float]], None]
    images: Callable[[int, Mapping[str, np.ndarray]], None]
    flush: Callable[[], None] = nothing
    close: Callable[[], None] = nothing


class TrackedRun(NamedTuple):
    """A run as trackers see it.

    workdir: its work directory, whose name it has.  start: step that it goes on from, 0 = none.
    config: plain data.
    """

    workdir: Path
    start: int
    config: Mapping[str, Any]

    def identity(self, tracker: str) -> str:
        """Under which a tracker knows this run, kept in the work directory; "" = not yet.

        A run that starts anew is another one there, as its config may be.
        """
        path = self.workdir / FOLDER / tracker
        if not self.start or not path.exists():
            return ""
        with open(ordinary.opened(path, os.O_RDONLY), "rb") as file:
            text = file.read(256).decode(errors="replace").strip()
        return text if IDENTITY.fullmatch(text) else ""

    def known_as(self, tracker: str, identity: str) -> str:
        """Keeps an identity for those who go on with the run; returns it."""
        path = self.workdir / FOLDER / tracker
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.publish(path, identity.encode())
        return identity

    def own_identity(self, tracker: str) -> str:
        """The identity, made up and kept where there is none, of trackers that take any."""
        return self.identity(tracker) or self.known_as(tracker, uuid.uuid4().hex[:12])


def flat(config: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """{"encoder.width": 384} of {"encoder": {"width": 384}}."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, prefix=f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
