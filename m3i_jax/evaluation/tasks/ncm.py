"""Nearest class mean: one mean for each class, nothing is trained or tuned."""

from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.probes.ncm import nearest_class_mean
from m3i_jax.evaluation.tasks.task import Measured, Task


def ncm() -> Task:
    """The class whose mean feature has the highest cosine (Mensink et al. 2013)."""

    def measure(evaluation: Evaluation) -> Measured:
        train, test = evaluation.labelled(what="the nearest class mean")
        counted = nearest_class_mean(train, test)
        counts = {"train": len(train.labels), "test": len(test.labels)}
        return Measured(counted.metrics, {}, counts, counted.intervals)

    settings = {"distance": "cosine"}
    return Task("ncm", "nearest class mean", "top1", "share", settings, measure)
