"""The features of both splits that a model is measured on."""

import logging
from collections.abc import Callable

import numpy as np

from m3i_jax import data
from m3i_jax.data import pipeline
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.subset import spread
from m3i_jax.evaluation.features import FeatureSet, extract, image_encoder, raw_pixels
from m3i_jax.evaluation.models import PIXELS, Model
from m3i_jax.evaluation.progress import counted
from m3i_jax.training import reading

LOG = logging.getLogger(__name__)


def feature_sets(
    model: Model,
    *,
    pool: str = "mean",
    train_limit: int = 0,
    test_limit: int = 0,
    batch: int = 100,
) -> tuple[FeatureSet, FeatureSet]:
    """Features of the training and test set: (N, D) each, in order, nothing counted twice.

    The test set is labelled with the classes of training, by name. Records that cannot be read or
    have no label get no row, and the log says how many these are.

    pool: "mean" of the patch tokens or "cls"; without meaning for raw pixels.
    train_limit, test_limit: at most so many records, spread evenly; 0 takes all.

    Raises:
      ConfigError: a split without classes, or with one that training lacks.
    """
    apply = raw_pixels
    if model.branch != PIXELS:
        apply = image_encoder(model.network, model.params, pool=pool)
    train = opened(model, "train")
    test = opened(model, "test", classes=train.classes)
    for split, source in (("train", train), ("test", test)):  # both, before anything is encoded
        protocol.require_labels(source, split=split, what="a probe")
    found = tuple(
        _feature_set(apply, model, source, split, limit, batch)
        for split, source, limit in (("train", train, train_limit), ("test", test, test_limit))
    )
    if lacking := set(found[1].labels.tolist()) - set(found[0].labels.tolist()):
        LOG.warning(
            "%d of %d test records are of %s, of which no training record was taken or can be "
            "read: no measure gets them right",
            np.isin(found[1].labels, [*lacking]).sum(),
            len(found[1].labels),
            protocol.listed(train.classes[label] for label in sorted(lacking)),
        )
    return found


def opened(model: Model, split: str, *, classes: tuple[str, ...] | None = None) -> data.Source:
    """A split of the data that the run was trained on, broken records forgiven as in training."""
    return reading.read(model.config, model.workdir, split=split, classes=classes)


def _feature_set(
    apply: Callable, model: Model, source, split: str, limit: int, batch: int
) -> FeatureSet:
    """Features of the labelled records that can be read."""
    chosen = spread(source, limit) if limit else source
    batch = min(batch, len(chosen))
    rows = pipeline.epoch(chosen, batch=batch, size=model.config.image)
    rows = counted(rows, f"features of {split}: batch", total=-(-len(chosen) // batch))
    found = extract(apply, rows, length=len(chosen))
    kept = found.labels >= 0
    silent = int((~kept).sum())
    lost = len(chosen) - len(found.labels)
    for count, why in ((lost, "cannot be read"), (silent, "have no label")):
        if count:
            LOG.warning("%d of %d %s records %s: in no number", count, len(chosen), split, why)
    return FeatureSet(found.features[kept], found.labels[kept])
