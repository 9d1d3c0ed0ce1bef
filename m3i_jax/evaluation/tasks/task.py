"""What an evaluation task is: a way to measure frozen features, as one record."""

from collections.abc import Callable
from typing import Any, NamedTuple

from m3i_jax.evaluation.features import FeatureSet

Metrics = dict[str, float | None]


class Measured(NamedTuple):
    """What a task found.

    metrics: by measure, such as {"top1": 0.83}; None where a measure has no meaning here.
    protocol: what the data decided, beside the task's own settings: a chosen penalty, ...
    """

    metrics: Metrics
    protocol: dict[str, Any]


class Task(NamedTuple):
    """One evaluation of features: its numbers are named `eval/<name>/<measure>`.

    title: in words, for pictures and tables.
    headline: the measure that says most, which pictures show.
    unit: of its measures: "share" is shown as percents, anything else as it is.
    settings: that decide the numbers, written beside them.
    measure: (training set, test set) -> Measured.
    """

    name: str
    title: str
    headline: str
    unit: str
    settings: dict[str, Any]
    measure: Callable[[FeatureSet, FeatureSet], Measured]

    @property
    def metric(self) -> str:
        """The full name of the headline."""
        return f"eval/{self.name}/{self.headline}"
