"""What dense predictions are judged by: per image on the host, then over all images."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from m3i_jax.data.sources.protocol import Sample
from m3i_jax.evaluation.intervals import of_mean
from m3i_jax.metrics import depth, segmentation
from m3i_jax.types import Array

Numbers = dict[str, float | None]
Intervals = dict[str, tuple[float, float] | None]
Row = Any  # what is kept of an image
CROPS = {"none": lambda *sides: None, "garg": depth.garg, "eigen": depth.eigen, "nyu": depth.nyu}
DRAWS = 200  # of images, for an interval


class Goal(NamedTuple):
    """A way to judge what is said of the pixels of images.

    view: what it is held against, "mask", "depth" or "points".
    headline: the measure that says most.
    row: (prediction (H, W, D) at the pixels of an image, its record) -> what is kept; None = the
      record says nothing.
    total: (all that is kept) -> the measures, and intervals of 95 %.
    guess: (training records) -> (D,), what is best said of every pixel by who sees no image; None
      = the records say nothing.
    """

    view: str
    headline: str
    row: Callable[[Float[Array, "height width dim"], Sample], Row | None]
    total: Callable[[Sequence[Row]], tuple[Numbers, Intervals]]
    guess: Callable[[Sequence[Sample]], Float[np.ndarray, " dim"] | None]


def of_categories(classes: int) -> Goal:
    """mIoU of `metrics.segmentation`; its interval is of images drawn again (bootstrap)."""

    def row(prediction, sample):
        if sample.mask is None:
            return None
        said = np.asarray(prediction, np.float32).argmax(-1)
        return segmentation.areas(segmentation.host_confusion(said, sample.mask, classes))

    def total(rows):
        scores = segmentation.of_areas(sum(rows))
        numbers = dict(miou=scores.miou, pixel_accuracy=scores.pixel_accuracy)
        numbers["mean_accuracy"] = scores.mean_accuracy
        return numbers, {"miou": _drawn_again(rows, lambda x: segmentation.of_areas(x).miou)}

    def guess(samples):
        masks = [sample.mask for sample in samples if sample.mask is not None]
        counts = sum(np.bincount(mask.reshape(-1), minlength=256)[:classes] for mask in masks)
        # As logits, of which the largest counts.
        return np.float32(counts) if masks else None

    return Goal("mask", "miou", row, total, guess)


def of_depth(*, minimum: float = 1e-3, maximum: float = 10.0, crop: str = "none") -> Goal:
    """RMSE and others of `metrics.depth`, the means over images.

    minimum, maximum: depths that count.  crop: "none", "garg", "eigen" or "nyu".
    """

    def row(prediction, sample):
        if sample.depth is None:
            return None
        how = dict(minimum=minimum, maximum=maximum, crop=CROPS[crop](*sample.depth.shape))
        return depth.of_image(np.asarray(prediction)[..., 0], sample.depth, **how)

    def total(rows):
        numbers = depth.mean(rows)._asdict()
        return numbers, {name: of_mean([r._asdict()[name] for r in rows]) for name in numbers}

    def guess(samples):
        known = [s.depth for s in samples if s.depth is not None]
        depths = [x[np.isfinite(x) & (x > 0)] for x in known]
        whole = np.concatenate(depths) if depths else np.zeros(0)
        return np.float32([np.exp(np.log(whole).mean())]) if len(whole) else None

    return Goal("depth", "rmse", row, total, guess)


def _drawn_again(rows: Sequence[Row], measure: Callable[[Row], float]) -> tuple[float, float]:
    """2.5 % and 97.5 % of a measure of sums over as many images, drawn with replacement."""
    rng, stacked = np.random.default_rng(0), np.stack(rows)
    times = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), DRAWS)
    values = [measure(np.tensordot(one, stacked, 1)) for one in times]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
