"""Objects that a network finds in each image of a split, in pixels of the images."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from m3i_jax import normalize
from m3i_jax.data.originals import Original, originals
from m3i_jax.data.sources import annotation_names
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.views.whole_images import fitted
from m3i_jax.evaluation.dense.predictor import Predictor
from m3i_jax.evaluation.dense.tested import alike
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.models import Model
from m3i_jax.parallel import sharding
from m3i_jax.training.assemble import objective
from m3i_jax.types import Array, Detections, Share

# (parameters, (B, H, W, 3) uint8, (B, 2) height and width of what is image) -> Detections
Program = Callable[[Any, Any, Any], Detections]


class Found(NamedTuple):
    """The objects that are found in an image, in pixels of it, the surest first.

    corners: (n, 4) top, left, bottom, right.   scores: (n,).   categories: (n,), from 0.
    masks: (n, h, w), how probable it is that each is there, in the frame of its corners; None
      where boxes alone are found.
    """

    corners: Float[np.ndarray, "found 4"]
    scores: Float[np.ndarray, " found"]
    categories: Int[np.ndarray, " found"]
    masks: Float[np.ndarray, "found _rows _columns"] | None = None


def require_kinds(model: Model, source: Source) -> None:
    """Refuses data with another number of categories of objects than a model's own head tells.

    Raises:
      NotMeasurable: that, as numbers of categories are then of other things.
    """
    names = annotation_names.objects(source)
    known = len(names) if model.config is None else objective(model.config).said("objects")
    if known != len(names):
        raise NotMeasurable(
            f"{model.name} tells {known} categories of objects, and those of '{source.name}' are "
            f"{len(names)}: measure it on data of its own categories"
        )


def found(
    predictor: Predictor,
    source: Source,
    *,
    batch: int = 8,
    seen: Callable[[Iterator[Original]], Iterator[Original]] = lambda rows: rows,
    program: Program | None = None,
    share: Share = Share(),
) -> Iterator[tuple[Original, Found]]:
    """(record, what is found in it) of all records that can be read, each once.

    Each image is as large as fits into the sides that the encoder was made for, its ratio kept, so
    that images of all sizes share a program.

    Args:
      batch: images that are shown at once.
      seen: goes round the pass, to say how far it is.
      program: `compiled` before; None compiles it.
      share: every which records are looked at, as in `originals`.
    """
    program = program or compiled(predictor)
    cut = functools.partial(fitted, size=predictor.size)
    for group in alike(seen(originals(source, cut=cut, share=share)), batch):
        # Fewer than a batch are shown with some of them again, so that nothing compiles.
        rows = [*group, *group[:1] * (batch - len(group))]
        views, extents = (np.stack(x) for x in zip(*map(_shown, rows), strict=True))
        said = jax.device_get(program(predictor.params, views, extents))
        for number, one in enumerate(group):
            yield one, _in_image(jax.tree.map(lambda x, n=number: x[n], said), one)


def compiled(predictor: Predictor, *, mesh: sharding.Mesh | None = None) -> Program:
    """The program that finds objects in views of one size.

    mesh: whose devices share the views of a batch, all of which every process gives and gets; None
      = where the parameters are.
    """

    def program(params, images, extents):
        if mesh is not None:
            images = jax.lax.with_sharding_constraint(images, sharding.batch_sharding(mesh))
        return predictor.said(params, normalize.levels(images), extent=extents)

    return jax.jit(program, out_shardings=mesh and sharding.replicated(mesh))


def _shown(one: Original) -> tuple[Array, Array]:
    """A view, and how much of it is image."""
    gain = np.float64(one.view.shape[:2]) / one.box[2:4]
    return one.view, np.float32(one.sample.image.shape[:2] * gain)


def _in_image(said: Detections, one: Original) -> Found:
    """What is found in a view, in pixels of its image."""
    there = said.scores > 0
    gain = np.float64(one.box[2:4]) / one.view.shape[:2]
    height, width = one.sample.image.shape[:2]
    corners = np.float64(said.corners[there]) * np.tile(gain, 2)
    corners = corners.clip(0, [height, width, height, width])
    masks = None if said.masks is None else said.masks[there]
    return Found(corners, said.scores[there], said.categories[there], masks)
