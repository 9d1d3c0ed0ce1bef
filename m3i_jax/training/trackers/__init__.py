"""Who else is told what a run logs, a file each: `config.log.to` names them.

Each opens for a `TrackedRun` and gives a `Tracker`, on a thread of its own (`training.background`).
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterable
from typing import NamedTuple

from m3i_jax.build import ConfigError
from m3i_jax.training.trackers import mlflow, tensorboard, trackio, wandb
from m3i_jax.training.trackers.tracker import TrackedRun, Tracker
from m3i_jax.training.waiting import live


class Kind(NamedTuple):
    """A tracker that there is: what opens it, the module that it needs, how that is installed."""

    opened: Callable[[TrackedRun], Tracker]
    module: str
    install: str


TRACKERS = {
    "tensorboard": Kind(tensorboard.opened, "tensorboardX", "tensorboardX"),
    "wandb": Kind(wandb.opened, "wandb", "'m3i_jax[wandb]'"),
    "mlflow": Kind(mlflow.opened, "mlflow", "'m3i_jax[mlflow]'"),
    "trackio": Kind(trackio.opened, "trackio", "'m3i_jax[trackio]'"),
}


def require(names: Iterable[str]) -> None:
    """Imports what trackers need, before anything compiles; refuses those that are not installed.

    Not on their threads: CPython 3.11 fails where two of them parse Python at once
    (https://github.com/python/cpython/issues/106905), and imports do.

    Raises:
      ConfigError: one of them; the message says how to install it.
    """
    for name in names:
        if importlib.util.find_spec(TRACKERS[name].module) is None:
            raise ConfigError(
                f"config.log.to names '{name}', which is not installed: pip install "
                f"{TRACKERS[name].install}"
            )
        with live(f"loading {name}"):
            importlib.import_module(TRACKERS[name].module)


def openers(names: Iterable[str], run: TrackedRun) -> dict[str, Callable[[], Tracker]]:
    """By name what opens each of them, called where it may take its time."""
    return {name: functools.partial(TRACKERS[name].opened, run) for name in names}
