"""Weighted nearest neighbours: no training, no settings but k and the temperature."""

from typing import Annotated

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.probes import knn as neighbours
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Count, Range

SHOWN = 20  # neighbours of the number that pictures show, as DINO reports it


def knn(
    *,
    k: Count | tuple[Count, ...] = (10, SHOWN, 100, 200),
    temperature: Annotated[float, Range(0, 100, above=True)] = 0.07,
) -> Task:
    """A cosine vote of the k nearest training rows (Wu et al. 2018, https://arxiv.org/abs/1805.01978).

    Args:
      k: how many neighbours vote, for each number; all together cost no more than the largest.
      temperature: τ of the weights exp(cos/τ).
    """
    if k == () or k == []:
        raise ConfigError("k is empty, expected one or more numbers of neighbours")
    ks = (k,) if isinstance(k, int) else tuple(k)
    shown = SHOWN if SHOWN in ks else max(ks)

    def measure(evaluation: Evaluation) -> Measured:
        train, test = evaluation.labelled(what="kNN")
        shares = neighbours.knn(train, test, k=ks, temperature=temperature)
        counts = {"train": len(train.labels), "test": len(test.labels)}
        return Measured({f"top1_k{k}": share for k, share in shares.items()}, counts=counts)

    settings = {"temperature": temperature}
    return Task("knn", f"kNN, k = {shown}", f"top1_k{shown}", "share", settings, measure)
