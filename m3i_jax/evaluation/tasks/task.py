"""What an evaluation task is: a way to measure frozen features, as one record."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from m3i_jax.evaluation.evaluation import Evaluation

Metrics = dict[str, float | None]
Interval = tuple[float, float]


class Measured(NamedTuple):
    """What a task found.

    metrics: by measure, such as {"top1": 0.83}; None where a measure has no meaning here.
    protocol: what the data decided, beside the task's own settings: a chosen penalty, ...
    counts: rows by what they are for; the shares are of counts["test"] rows, which gives them
      Wilson's 95 % interval.
    intervals: (low, high) by measure, of those that have another one; None = it has none.
    """

    metrics: Metrics
    protocol: Mapping[str, Any] = {}
    counts: Mapping[str, int] = {}
    intervals: Mapping[str, Interval | None] = {}


class Task(NamedTuple):
    """One evaluation: its numbers are named `eval/<name>/<measure>`.

    title: in words, for pictures and tables.
    headline: the measure that says most, which pictures show.
    unit: of its measures: "share" is shown as percents, anything else as it is.
    settings: that decide the numbers, written beside them.
    measure: of a model on a data set; it asks that for the features that it needs.
    lower: whether less of the headline is better.
    """

    name: str
    title: str
    headline: str
    unit: str
    settings: dict[str, Any]
    measure: Callable[[Evaluation], Measured]
    lower: bool = False

    @property
    def metric(self) -> str:
        """The full name of the headline."""
        return f"eval/{self.name}/{self.headline}"
