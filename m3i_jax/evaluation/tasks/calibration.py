"""Whether a classifier's probabilities are what it gets right."""

from typing import Annotated

import numpy as np

from m3i_jax.evaluation import calibration as scores
from m3i_jax.evaluation.classifiers import CLASSIFIERS, Name, Scored
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.intervals import of_mean
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Range, Seed

Bins = Annotated[int, Range(1, 1000)]


def calibration(*, classifier: Name = "linear", bins: Bins = scores.BINS, seed: Seed = 0) -> Task:
    """Calibration errors and proper scores on the test split; docs/methods.md#calibration.

    Expected and maximum calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599) of
    bins of equal width, and the expected one of bins of equal mass; likelihood in nats, Brier's
    score; and the same behind a temperature, which each half of the rows gets from the other half.

    Args:
      classifier: "linear", the exact probe on frozen features; "own_head" of the run's labels, and
        so of what was fine-tuned; or "zero_shot", by the names of the classes.
      bins: of confidence.
      seed: of the halves.
    """

    def measure(evaluation: Evaluation) -> Measured:
        what = "the task calibration"
        judge = CLASSIFIERS[classifier](evaluation, what=what)
        scored = judge.scored(None)
        if len(scored.labels) < 2:
            raise NotMeasurable(f"{what} needs two labelled test images or more, and there is one")
        plain = scores.judged(*scored)
        table = scores.reliability(plain.confidence, plain.right, bins=bins)
        mass = scores.reliability(plain.confidence, plain.right, bins=bins, equal="mass")
        scaled, temperature = _scaled(scored, seed)
        after = scores.reliability(scaled.confidence, scaled.right, bins=bins)
        metrics = {
            "ece": table.expected_error,
            "ece_mass": mass.expected_error,
            "mce": table.maximum_error,
            "nll": plain.likelihood.mean(),
            "brier": plain.brier.mean(),
            "temperature": temperature,
            "ece_scaled": after.expected_error,
            "nll_scaled": scaled.likelihood.mean(),
        }
        rows = zip(*(column.tolist() for column in table), strict=True)
        protocol = {**judge.protocol, "reliability": [list(row) for row in rows]}
        means = {"nll": plain.likelihood, "brier": plain.brier, "nll_scaled": scaled.likelihood}
        intervals = {name: of_mean(values) for name, values in means.items()}
        return Measured(metrics, protocol, {**judge.counts, "test": len(scored.labels)}, intervals)

    settings = {"classifier": classifier, "bins": bins, "seed": seed}
    return Task("calibration", "calibration", "ece", "number", settings, measure, lower=True)


def _scaled(scored: Scored, seed: int) -> tuple[scores.Judged, float]:
    """Rows judged at the temperature of the other half; the geometric mean of the two."""
    order = np.random.default_rng(seed).permutation(len(scored.labels))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    of = lambda half: (scored.scores[half], scored.labels[half])  # noqa: E731
    temperatures = [scores.fitted_temperature(*of(half)) for half in halves]
    judged = [
        scores.judged(*of(half), temperature=temperature)
        for half, temperature in zip(halves, reversed(temperatures), strict=True)
    ]
    columns = (np.concatenate(parts) for parts in zip(*judged, strict=True))
    return scores.Judged(*columns), float(np.sqrt(np.prod(temperatures)))
