"""Trackio: a data base on this machine, which TRACKIO_DIR places."""

from collections.abc import Mapping

import numpy as np

from m3i_jax.training.trackers.tracker import PROJECT, TrackedRun, Tracker


def opened(run: TrackedRun) -> Tracker:
    """Starts a run there, or goes on with the one that the work directory knows; by its name."""
    import trackio

    known = bool(run.identity("trackio"))
    there = trackio.init(
        project=PROJECT,
        name=f"{run.workdir.name}-{run.own_identity('trackio')}",
        config=dict(run.config),
        resume="allow" if known else "never",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )

    def scalars(step: int, values: Mapping[str, float]) -> None:
        there.log(dict(values), step=step)

    def images(step: int, pictures: Mapping[str, np.ndarray]) -> None:
        there.log({name: trackio.Image(picture) for name, picture in pictures.items()}, step=step)

    return Tracker(scalars, images, close=there.finish)
