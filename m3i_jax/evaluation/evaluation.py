"""One model on one data set: the features that tasks ask for, each made once."""

import functools
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import data, normalize
from m3i_jax.build import ConfigError
from m3i_jax.data import pipeline
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.subset import spread
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.features import FeatureSet, extract, pooled, raw_pixels
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.progress import counted
from m3i_jax.types import Array, Features

LOG = logging.getLogger(__name__)
POOLS = ("mean", "cls")


class Transform(NamedTuple):
    """What is done to the images before the model sees them.

    name: which says all that decides it, as it is all that tells one from another.
    apply: ((B, H, W, 3) uint8 images, (B,) their numbers in the data set) -> (B, H, W, 3) uint8,
      in NumPy.
    """

    name: str
    apply: Callable[[np.ndarray, np.ndarray], np.ndarray]


class Evaluation:
    """A model on a data set; what a task measures.

    model: see `Model`.  data: see `Data`.
    pool: how features are pooled where a task does not say it, see `pooled`.
    settings: that decide all numbers, whatever the task: pool, limits, size of the images.
    """

    def __init__(
        self,
        model: Model,
        of: Data,
        *,
        pool: str = "mean",
        train_limit: int = 0,
        test_limit: int = 0,
        batch: int = 100,
    ):
        """Opens nothing yet.

        train_limit, test_limit: at most so many records, spread evenly; 0 takes all.
        batch: images that are encoded at once.
        """
        self.model, self.data, self.pool = model, of, pool
        self._limits = {"train": train_limit, "test": test_limit}
        self._batch = batch
        self._sources: dict[str, data.Source] = {}
        self._made: dict[Any, FeatureSet] = {}
        self.settings = {
            "pool": pool,
            "train_limit": train_limit,
            "test_limit": test_limit,
            "image": model.image,
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, those of training; () where there are none."""
        return self.source("train").classes

    def source(self, split: str) -> data.Source:
        """The records of "train" or "test" that are taken, labelled with training's classes."""
        if split not in self._limits:
            raise ConfigError(f"there is no split '{split}', expected train or test")
        if split not in self._sources:
            classes = None if split == "train" else self.classes
            found, limit = self.data.open(split, classes), self._limits[split]
            self._sources[split] = spread(found, limit) if limit else found
        return self._sources[split]

    def labelled(self, *, what: str = "a probe", **how: Any) -> tuple[FeatureSet, FeatureSet]:
        """Features of the labelled records of the training and of the test set, for classifiers.

        what: that needs labels, for sentences.  how: see `features`.

        Raises:
          ConfigError: a split without classes, or with one that training lacks.
        """
        for split in self._limits:  # both, before anything is encoded
            protocol.require_labels(self.source(split), split=split, what=what)
        train, test = (_with_labels(self.features(split, **how), split) for split in self._limits)
        if lacking := set(test.labels.tolist()) - set(train.labels.tolist()):
            LOG.warning(
                "%d of %d test records are of %s, of which no training record was taken or can be "
                "read: no measure gets them right",
                np.isin(test.labels, [*lacking]).sum(),
                len(test.labels),
                protocol.listed(self.classes[label] for label in sorted(lacking)),
            )
        return train, test

    def features(
        self, split: str, *, pool: str | None = None, transform: Transform | None = None
    ) -> FeatureSet:
        """Features of the records that can be read, in order, each once; -1 = without a label.

        Args:
          split: "train" or "test".
          pool: "mean" of the patch tokens or "cls"; without meaning for raw pixels.
          transform: of the images.
        """
        pool = self.pool if pool is None else pool
        if self.model.network is None:
            return self.mapped(
                split, lambda params, x: raw_pixels(x), name=PIXELS, transform=transform
            )
        encode = lambda params, x: pooled(self.encode(params, x), pool)  # noqa: E731
        return self.mapped(split, encode, name=pool, transform=transform)

    def encode(self, params: Any, images: Array, **how: Any) -> Features:
        """What the model makes of (B, H, W, 3) uint8 images; how: of `Network.encode`."""
        x = normalize.channels(jnp.asarray(images).astype(jnp.float32) / 255.0)
        return self.model.network.encode(params, "image", x, **how)

    def mapped(
        self,
        split: str,
        apply: Callable[[Any, Array], Array],
        *,
        name: str,
        transform: Transform | None = None,
    ) -> FeatureSet:
        """Any function of the images, as features are.

        Args:
          split: "train" or "test".
          apply: (parameters of the model, (B, H, W, 3) uint8 images) -> (B, ...) float32; compiled.
          name: which says all that decides it, beside the model; the result is kept under it.
          transform: of the images.
        """
        key = split, name, transform and transform.name
        if key not in self._made:
            self._made[key] = self._extracted(split, apply, transform)
        return self._made[key]

    def _extracted(self, split, apply, transform) -> FeatureSet:
        source = self.source(split)
        batch = min(self._batch, len(source))
        rows = pipeline.epoch(source, batch=batch, size=self.model.image)
        rows = counted(rows, f"features of {split}: batch", total=-(-len(source) // batch))
        compiled = functools.partial(jax.jit(apply), self.model.params)
        change = transform and transform.apply
        found = extract(compiled, rows, length=len(source), change=change)
        if lost := len(source) - len(found.labels):
            LOG.warning(
                "%d of %d %s records cannot be read: in no number", lost, len(source), split
            )
        return found


PIXELS = "pixels"


def _with_labels(found: FeatureSet, split: str) -> FeatureSet:
    """The rows that have a label; the log says how many have none."""
    kept = found.labels >= 0
    if kept.all():
        return found
    silent = int((~kept).sum())
    LOG.warning("%d of %d %s records have no label: in no number", silent, len(kept), split)
    return FeatureSet(*(column[kept] for column in found))
