"""Weights & Biases; offline, into the work directory, where nobody is logged in.

Its own variables hold: WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY, ... `wandb sync` sends what was
written offline.
"""

import netrc
import os
from collections.abc import Mapping
from urllib.parse import urlparse

import numpy as np

from m3i_jax.training.trackers.tracker import PROJECT, TrackedRun, Tracker

HOST = "https://api.wandb.ai"
PATIENCE = 8.0  # seconds that its end may take


def opened(run: TrackedRun) -> Tracker:
    """Starts a run there, or goes on with the one that the work directory knows."""
    import wandb

    # It may neither ask for a password nor take the terminal, signals, code or statistics.
    quiet = dict(silent=True, console="off", save_code=False, disable_git=True)
    there = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=run.workdir.name,
        id=run.own_identity("wandb"),
        resume="allow",
        dir=str(run.workdir),
        config=dict(run.config),
        mode=None if "WANDB_MODE" in os.environ or _logged_in() else "offline",
        settings=wandb.Settings(finish_timeout=PATIENCE, x_disable_stats=True, **quiet),
    )

    def scalars(step: int, values: Mapping[str, float]) -> None:
        there.log(dict(values), step=step)

    def images(step: int, pictures: Mapping[str, np.ndarray]) -> None:
        there.log({name: wandb.Image(picture) for name, picture in pictures.items()}, step=step)

    return Tracker(scalars, images, close=there.finish)


def _logged_in() -> bool:
    """Whether there is a key, so that nobody has to be asked for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", HOST)).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
