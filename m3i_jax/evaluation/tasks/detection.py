"""Objects in images: which are there, and where; by boxes alone, or by masks, too."""

from m3i_jax.data.sources import annotation_names
from m3i_jax.evaluation.dense import judged as heads
from m3i_jax.evaluation.dense.judged import GUESSED, OWN, known_records
from m3i_jax.evaluation.detection.found import found
from m3i_jax.evaluation.detection.judged import guessed, judged
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.progress import counted
from m3i_jax.evaluation.tasks.task import Measured, Task


def detection() -> Task:
    """COCO's average precision of boxes, by the head that a run has trained.

    Of every image the surest objects that the head finds, at one size for all; faster-coco-eval
    counts them as pycocotools does. Beside it what a guess has that sees no image.
    """
    return _task("detection", "object detection", "ap", masks=False)


def instance() -> Task:
    """The same of boxes and of masks: instance segmentation, whose headline is the AP of masks."""
    return _task("instance", "instance segmentation", "mask_ap", masks=True)


def _task(name: str, title: str, headline: str, *, masks: bool) -> Task:
    def measure(evaluation: Evaluation) -> Measured:
        source = evaluation.source("test")
        kinds = len(annotation_names.objects(source))
        predictor = heads.own(evaluation.model, "objects")
        if predictor is None:
            raise NotMeasurable(
                f"{evaluation.model.name} has no head that finds objects: measure a run of a "
                "detector, such as `m3i finetune MODEL --recipe detection` makes"
            )
        far = dict(total=len(source), unit=(1, "images"))
        seen = lambda rows: counted(rows, f"{name} of test: image", **far)  # noqa: E731
        pairs = found(predictor, source, batch=evaluation.at_once, seen=seen)
        guess = guessed(known_records(evaluation.source("train"), GUESSED), kinds)
        result = judged(pairs, kinds=kinds, masks=masks, guess=guess)
        intervals = dict.fromkeys(result.numbers)
        return Measured(result.numbers, {"head": OWN}, {"test": result.images}, intervals)

    return Task(name, title, headline, "share", {}, measure)
