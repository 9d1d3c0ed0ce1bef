"""Captions found by images, and images by captions."""

import logging

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import image_text
from m3i_jax.evaluation import retrieval as numbers
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.intervals import wilson
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Count

LOG = logging.getLogger(__name__)
WAYS = ("image_to_text", "text_to_image")


def retrieval(
    *,
    k: Count | tuple[Count, ...] = (1, 5, 10),
    captions: Count = 5,
) -> Task:
    """R@k both ways on the test split, as on Flickr30k and COCO; docs/methods.md#retrieval.

    An image is found where any of its captions is among the k nearest, a caption where its image
    is; ties count against. The mean of both R@1 is what M3I reports (appendix B.4).
    https://arxiv.org/abs/2211.09807

    Args:
      k: of R@k.
      captions: of an image that are taken at most, its first ones.
    """
    ks = (k,) if isinstance(k, int) else tuple(k)
    if not ks:
        raise ConfigError("k is empty, expected one or more numbers of neighbours")

    def measure(evaluation: Evaluation) -> Measured:
        compared = image_text.of(evaluation, what="retrieval")
        images, texts, owners = _captioned(evaluation, compared.name, compared.image, captions)
        right_of = numbers.recalls(images, compared.text(texts), owners, ks=ks)
        totals = {"image_to_text": len(images), "text_to_image": len(texts)}
        rights = {(way, k): right_of[way][k] / totals[way] for way in WAYS for k in ks}
        metrics = {f"{way}_r{k}": share for (way, k), share in rights.items()}
        intervals = {f"{w}_r{k}": wilson(share, totals[w]) for (w, k), share in rights.items()}
        if 1 in ks:
            metrics["mean_r1"] = sum(rights[way, 1] for way in WAYS) / len(WAYS)
        counts = {"test": len(images), "captions": len(texts)}
        protocol = {"distinct_captions": len(set(texts)), "ties": "against"}
        protocol |= {"tokens": compared.tokens}
        return Measured(metrics, protocol, counts, intervals)

    headline = "mean_r1" if 1 in ks else f"{WAYS[0]}_r{ks[0]}"
    settings = {"k": ks, "captions": captions}
    return Task("retrieval", "image-text retrieval", headline, "share", settings, measure)


def _captioned(
    evaluation: Evaluation, name: str, apply, most: int
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Vectors of the test images that have captions, those captions, and whose each is."""
    source = evaluation.source("test")
    said = [
        [line for line in caption.split("\n") if line.strip()][:most]
        for caption in source.captions()
    ]
    if not any(said):
        raise NotMeasurable(
            "retrieval needs images with captions, and none of the test split has one; put "
            "NAME.txt beside NAME.jpg, one caption a line"
        )
    rows = evaluation.mapped("test", apply, name=name)
    kept = [row for row, number in enumerate(rows.index) if said[number]]
    if silent := len(rows.index) - len(kept):
        LOG.warning(
            "%d of %d test images have no caption: they are left out", silent, len(rows.index)
        )
    lines = [said[rows.index[row]] for row in kept]
    owners = np.repeat(np.arange(len(kept)), [len(own) for own in lines])
    return rows.features[kept], [text for own in lines for text in own], owners
