"""What a detector finds: the objects of a few images, beside those that are there."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from m3i_jax import pictures
from m3i_jax.analysis import boxes
from m3i_jax.analysis.measure import Measure, Picture, Rows, Shown
from m3i_jax.analysis.pixelwise import SAID, SURE, TRUE
from m3i_jax.data.originals import Original
from m3i_jax.data.sources import annotation_names
from m3i_jax.data.sources.subset import Subset, places
from m3i_jax.evaluation.dense import judged as heads
from m3i_jax.evaluation.detection.found import Found, found, require_kinds
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.ranges import Range, Share

HEIGHT = 384  # pixels that a small image is enlarged to at least


def objects(*, images: Annotated[int, Range(1, 64)] = 8, score: Share = SURE) -> Measure:
    """Boxes and masks that the head of a run finds in whole images, over those that are there.

    Args:
      images: spread evenly over the split.
      score: what is shown has as much, or more.
    """

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        predictor = heads.own(evaluation.model, "objects")
        if predictor is None:
            raise NotMeasurable("it has no head that finds objects, as runs of detectors have")
        source = evaluation.source("test")
        require_kinds(evaluation.model, source)
        names = annotation_names.objects(source)
        chosen = places(len(source), images)
        pairs = found(predictor, Subset(source, chosen), batch=min(8, images))
        pairs = sorted(pairs, key=lambda pair: pair[0].number)
        if not pairs:
            raise NotMeasurable("none of the images can be read")
        kept = [(one, _surest(said, score)) for one, said in pairs]
        shown = [
            Picture(_sentence(chosen[one.number], one, said), drawn(one, said, names))
            for one, said in kept
        ]
        values = {"found": float(np.mean([len(said.scores) for _, said in kept]))}
        return Shown("pictures", values, counts={"test": len(pairs)}, pictures=shown)

    settings = {"images": images, "score": score}
    return Measure("objects", "objects that are found", "", settings, measure)


def drawn(one: Original, said: Found, names: Sequence[str]) -> np.ndarray:
    """An image with what is found in vermilion over what is there in blue, as thick again."""
    image = pictures.enlarge(one.sample.image, least=HEIGHT)
    factor, thick = image.shape[0] / one.sample.image.shape[0], max(1, image.shape[0] // 192)
    own = dict(factor=factor, colour=SAID, thick=thick)
    if said.masks is not None:  # below all lines
        image = boxes.drawn(image, said.corners, masks=said.masks >= SURE, **own)
    if (there := one.sample.objects) is not None:
        image = boxes.drawn(image, there.corners, factor=factor, colour=TRUE, thick=2 * thick)
    kinds = zip(said.categories, said.scores, strict=True)
    texts = [f"{names[kind]} {score:.2f}" for kind, score in kinds]
    return boxes.drawn(image, said.corners, texts=texts, **own)


def _surest(said: Found, score: float) -> Found:
    """What has this score and more."""
    sure = said.scores >= score
    return Found(*(None if x is None else x[sure] for x in said))


def _sentence(record: int, one: Original, said: Found) -> str:
    there = one.sample.objects
    known = "" if there is None else f", {len(there.corners)} there, in blue"
    return f"Record {record}: {len(said.scores)} found{known}"
