"""A few images of a data set as a model sees them, whatever the size of the data."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int, UInt8

from m3i_jax.analysis.rows import packed, unpacked
from m3i_jax.data.sources.subset import places
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.types import Array


class Seen(NamedTuple):
    """Images, cut as for the model: (N, H, W, 3) uint8, their labels (N,), -1 = none, and which
    records of the split they are (N,), and what a function made of them, arrays (N, ...) or None.
    """

    images: UInt8[np.ndarray, "images height width 3"]
    labels: Int[np.ndarray, " images"]
    index: Int[np.ndarray, " images"]
    features: Any = None


def seen(
    evaluation: Evaluation,
    records: Sequence[int] | Int[np.ndarray, " images"],
    *,
    apply: Callable[[Any, Array], Any] | None = None,
    split: str = "test",
) -> Seen:
    """Chosen records of a split; those that cannot be read are left out.

    apply: (parameters of the model, (B, H, W, 3) uint8 images) -> a tree of (B, ...), also asked
      for.

    Raises:
      NotMeasurable: none of the records can be read.
    """
    records, side = np.asarray(records), evaluation.image

    def together(params, images):
        return images, None if apply is None else apply(params, images)

    shapes = jax.eval_shape(
        together, evaluation.model.params, jax.ShapeDtypeStruct((1, side, side, 3), np.uint8)
    )
    program = jax.jit(lambda params, images: packed(together(params, images)))
    columns = zip(*evaluation.streamed(split, program, rows=records), strict=True)
    rows, labels, index = map(np.concatenate, columns)
    images, features = unpacked(rows, shapes)
    return Seen(images.astype(np.uint8), labels, records[index], features)


def spread(evaluation: Evaluation, count: int, *, split: str = "test") -> Int[Array, " images"]:
    """At most `count` records of a split, spread evenly over it."""
    return places(len(evaluation.source(split)), count)


def name(evaluation: Evaluation, label: int) -> str:
    """What the class of a label is called; "" of an image without one."""
    return evaluation.classes[label] if 0 <= label < len(evaluation.classes) else ""
