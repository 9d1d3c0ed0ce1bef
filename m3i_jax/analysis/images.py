"""A few images of a data set as a model sees them, whatever the size of the data."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from m3i_jax.data.sources.subset import places
from m3i_jax.evaluation.evaluation import Apply, Evaluation
from m3i_jax.types import Array


class Seen(NamedTuple):
    """Images, cut as for the model: (N, H, W, 3) uint8, their labels (N,), -1 = none, and which
    records of the split they are (N,), and what a function made of them (N, ...), or None."""

    images: UInt8[np.ndarray, "images height width 3"]
    labels: Int[np.ndarray, " images"]
    index: Int[np.ndarray, " images"]
    features: Float[np.ndarray, "images ..."] | None = None


def seen(
    evaluation: Evaluation,
    records: Sequence[int] | Int[np.ndarray, " images"],
    *,
    apply: Apply | None = None,
    split: str = "test",
) -> Seen:
    """Chosen records of a split; those that cannot be read are left out.

    apply: (parameters of the model, (B, H, W, 3) uint8 images) -> (B, ...), also asked for.
    """
    records = np.asarray(records)

    @jax.jit
    def together(params, images):
        parts = [images] if apply is None else [images, apply(params, images)]
        flat = [part.astype(jnp.float32).reshape(len(part), -1) for part in parts]
        return jnp.concatenate(flat, axis=1)

    columns = zip(*evaluation.streamed(split, together, rows=records), strict=True)
    rows, labels, index = map(np.concatenate, columns)
    side = evaluation.image
    images, rest = np.split(rows, [3 * side**2], axis=1)
    if apply is not None:
        one = jax.ShapeDtypeStruct((1, side, side, 3), np.uint8)
        shape = jax.eval_shape(apply, evaluation.model.params, one).shape
        rest = rest.reshape(len(rest), *shape[1:])
    images = images.reshape(-1, side, side, 3).astype(np.uint8)
    return Seen(images, labels, records[index], None if apply is None else rest)


def spread(evaluation: Evaluation, count: int, *, split: str = "test") -> Int[Array, " images"]:
    """At most `count` records of a split, spread evenly over it."""
    return places(len(evaluation.source(split)), count)


def name(evaluation: Evaluation, label: int) -> str:
    """What the class of a label is called; "" of an image without one."""
    return evaluation.classes[label] if 0 <= label < len(evaluation.classes) else ""
