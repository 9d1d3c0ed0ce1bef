"""The head that a run's labels have trained, as it is."""

from m3i_jax.evaluation import classifiers
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.tasks.task import Measured, Task

TITLE = "own label head"


def without_fine_tuning() -> Task:
    """A model's own label head on whole test images (M3I Table 4, "w/o fine-tuning").

    Of a run, of its export, or the linear classifier in a file of timm's or transformers'. Images
    are neither mixed nor masked. Classes are matched by name: of those that it was trained on, only
    those of the data set count; of a file with as many classes under other names, in their order. https://arxiv.org/abs/2211.09807;
    docs/methods.md#without-fine-tuning.
    """

    def measure(evaluation: Evaluation) -> Measured:
        head = classifiers.own_head(evaluation, what="the task without_fine_tuning")
        scored = head.scored(None)
        return Measured(classifiers.shares(scored), head.protocol, {"test": len(scored.labels)})

    return Task("without_fine_tuning", TITLE, "top1", "share", {}, measure)
