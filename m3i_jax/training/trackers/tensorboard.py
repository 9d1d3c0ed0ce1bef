"""TensorBoard: events in the work directory, by tensorboardX."""

from collections.abc import Mapping

import numpy as np

from m3i_jax.training.trackers.tracker import TrackedRun, Tracker


def opened(run: TrackedRun) -> Tracker:
    """Writes events; those behind the step that the run goes on from are purged."""
    # Imported for runs alone, as it imports PyTorch where there is one, which takes seconds.
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(run.workdir), purge_step=run.start + 1)

    def scalars(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def images(step: int, pictures: Mapping[str, np.ndarray]) -> None:
        for name, picture in pictures.items():
            writer.add_image(name, picture, step, dataformats="HWC")

    return Tracker(scalars, images, writer.flush, writer.close)
