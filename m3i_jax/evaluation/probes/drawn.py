"""Rows for a grid of heads whose encoder is in the step: each epoch cuts each image anew.

As DINOv2, CAPI and AIM train their probes: one frozen forward pass of a batch of random crops, of
which every head takes its features; nothing but the heads is kept.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from m3i_jax.data.sources import protocol
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.probes.heads import Sight
from m3i_jax.evaluation.probes.rows import HELD_OUT, Kinds, Rows, split
from m3i_jax.parallel import sharding


def rows(
    evaluation: Evaluation,
    kinds: Kinds,
    *,
    choose: str,
    seed: int,
    what: str,
    rand_augment: Mapping[str, Any] | None = None,
) -> Rows:
    """Random crops of an evaluation's training images; whole images judge.

    Args:
      kinds: names of features, and what `Evaluation.features` is told of each.
      choose, seed: of the records that are held out, see `rows.split`.
      what: is trained, for sentences.
      rand_augment: of the crops, see `Evaluation.drawn`.

    Raises:
      ConfigError: a split without classes, or with one that training lacks.
      NotMeasurable: one class, or no record that heads could learn from.
    """
    for part in ("train", "test"):
        protocol.require_labels(evaluation.source(part), split=part, what=what)
    labelled = _labelled(evaluation, what)
    learn, held = (labelled[i] for i in split(len(labelled), choose=choose, seed=seed))
    see = evaluation.seeing(kinds)
    mesh = sharding.mesh()
    params = jax.device_put(evaluation.model.params, sharding.replicated(mesh))
    images = jax.ShapeDtypeStruct((1, evaluation.image, evaluation.image, 3), np.uint8)
    widths = {name: x.shape[-1] for name, x in jax.eval_shape(see, params, images).items()}

    def batches(batch, seed):
        return evaluation.drawn(learn, batch=batch, seed=seed, rand_augment=rand_augment)

    def judged(which, program, tables):
        def apply(params, images):
            return program(tables, params, images)

        part, chosen = ("train", held) if which == HELD_OUT else ("test", None)
        for batch in evaluation.streamed(part, apply, rows=chosen, what=f"{what} on {which}"):
            kept = batch.labels >= 0
            yield batch.features[kept], batch.labels[kept]

    sight = Sight(see, params, mesh)
    classes, ways = len(evaluation.classes), jax.device_count()
    return Rows(len(learn), classes, widths, sight, batches, judged, ways)


def _labelled(evaluation: Evaluation, what: str) -> np.ndarray:
    """Numbers of the training records that may have a label: those of a source that knows it."""
    source = evaluation.source("train")
    labels = getattr(source, "labels", None)
    if labels is None:
        chosen = np.arange(len(source))
    else:
        chosen = np.flatnonzero(np.asarray(labels) >= 0)
        if len(np.unique(np.asarray(labels)[chosen])) == 1:
            raise NotMeasurable(f"{what} tells classes apart, but the training set has one only")
    if len(chosen) < 2:
        raise NotMeasurable(f"{what} needs two training images at least, and there is one")
    return chosen
