"""Objects in images: which are there, and where; by boxes alone, or by masks, too."""

import re
from collections.abc import Sequence
from logging import getLogger
from pathlib import Path

import jax

from m3i_jax.data.sources import annotation_names
from m3i_jax.evaluation.dense import judged as heads
from m3i_jax.evaluation.dense import result_files
from m3i_jax.evaluation.dense.judged import GUESSED, OWN, known_records
from m3i_jax.evaluation.detection.found import found, require_kinds
from m3i_jax.evaluation.detection.judged import Known, guessed, judged
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.progress import counted
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.metrics.objects import Found
from m3i_jax.parallel import processes
from m3i_jax.texts import Filled

LOG = getLogger(__name__)


def detection(*, results: Filled | None = None) -> Task:
    """COCO's average precision of boxes, by the head that a run has trained; of LVIS its own.

    Of every image the surest objects that the head finds, at one size for all; faster-coco-eval
    counts them as pycocotools does. Beside it what a guess has that sees no image.

    results: folder in which MODEL.json has all that was found, in COCO's format of results.
    """
    return _task("detection", "object detection", "ap", results=results, masks=False)


def instance(*, results: Filled | None = None) -> Task:
    """The same of boxes and of masks: instance segmentation, whose headline is the AP of masks.

    results: see `detection`.
    """
    return _task("instance", "instance segmentation", "mask_ap", results=results, masks=True)


def _task(name: str, title: str, headline: str, *, results: str | None, masks: bool) -> Task:
    def measure(evaluation: Evaluation) -> Measured:
        source, train = evaluation.source("test"), evaluation.source("train")
        kinds = len(annotation_names.objects(source))
        annotation_names.require_same_objects(train, source)
        predictor = heads.own(evaluation.model, "objects")
        if predictor is None:
            raise NotMeasurable(
                f"{evaluation.model.name} has no head that finds objects: measure a run of a "
                "detector, such as `m3i finetune MODEL --recipe detection` makes"
            )
        require_kinds(evaluation.model, source)
        share = processes.own_share()
        far = dict(total=-(-len(source) // share.count), unit=(share.count, "images"))
        seen = lambda rows: counted(rows, f"{name} of test: image", **far)  # noqa: E731
        pairs = found(predictor, source, batch=evaluation.at_once, seen=seen, share=share)
        guess = guessed(known_records(train, GUESSED), kinds)
        known = Known.of(source)
        how = dict(masks=masks, guess=guess, known=known, share=share)
        result = judged(pairs, kinds=kinds, **how)
        if results and not jax.process_index():
            written(Path(results), evaluation.model.name, result.found, known.category_ids)
        intervals = dict.fromkeys(result.numbers)
        return Measured(result.numbers, {"head": OWN}, {"test": result.images}, intervals)

    # Where the file is decides no number.
    return Task(name, title, headline, "share", {}, measure)


def written(folder: Path, model: str, found: Found, category_ids: Sequence[int]) -> Path:
    """Writes what a model has found into a folder, in a file that has its name."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (re.sub(r"[^\w.@#=-]+", "_", model).strip("_") + ".json")
    result_files.write(file, found, category_ids)
    LOG.info("%s: %d objects, as COCO's results", file, len(found.score))
    return file
