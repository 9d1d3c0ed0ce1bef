"""The steps of a run that does not run, and a log that remembers."""

import numpy as np

from m3i_jax.training.loop import StepInfo


class Book:
    """A log that remembers."""

    def __init__(self):
        self.lines, self.rates, self.pictures, self.values = [], [], [], []

    def scalars(self, step, values):
        self.values.append(values)
        self.lines.append((step, float(values["train/loss"])))

    def at(self, step, doing):
        pass

    def progress(self, step, *, loss, images_per_second, per_step):
        self.rates.append((step, images_per_second))

    def images(self, step, pictures):
        self.pictures.append(step)


def infos(total, *, skipped=lambda step: 0):
    for step in range(1, total + 1):
        metrics = {"train/loss": np.float32(step), "optim/skipped": np.int32(skipped(step))}
        yield StepInfo(step, total, [], None, {"sample": step}, metrics, 0.0, step == total)
