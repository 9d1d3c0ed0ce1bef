"""One model on one data set: the features that tasks ask for, each made once."""

import functools
import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import m3i_jax
from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.batches import batches
from m3i_jax.data.epoch import RATIO, epoch
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.subset import Subset, spread
from m3i_jax.data.stream import prefetch
from m3i_jax.data.views.crops import Crops
from m3i_jax.evaluation import cache, datasets, models
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.features import FeatureSet, passed, raw_pixels
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.pooling import pooled
from m3i_jax.evaluation.progress import counted
from m3i_jax.parallel import sharding
from m3i_jax.types import Array, Features

LOG = logging.getLogger(__name__)
Apply = Callable[[Any, Array], Array]
See = Callable[[Any, Array], dict[str, Array]]  # (parameters, images) -> features by kind


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
    pool: how features are pooled where a task does not say it, see `pooling`.
    image: side of the images in pixels.
    settings: that decide all numbers, whatever the task: pool, limits, size of the images.
    at_once: images that were asked to be encoded at once; devices may make it more, see `batch`.
    """

    def __init__(
        self,
        model: Model,
        of: Data,
        *,
        pool: str | None = None,
        train_limit: int = 0,
        test_limit: int = 0,
        ratio: float | None = None,
        batch: int = 100,
        cache: Path | None = None,
        quiet: bool = False,
    ):
        """Opens nothing yet.

        pool: None = as the model's features usually are.
        train_limit, test_limit: at most so many records, spread evenly; 0 takes all.
        ratio: of the short side that is kept, see `data.epoch`; None = as the data say.
        batch: images that are encoded at once.
        cache: folder in which features are kept, by one process; None keeps none beyond this
          object.
        quiet: says nothing of how far it is, as beside a training run.
        """
        self.model, self.data, self.pool = model, of, pool or model.pool
        self._limits = {"train": train_limit, "test": test_limit}
        self.at_once = batch
        self._ratio, self._cache, self._quiet = ratio, cache, quiet
        if cache is not None and jax.process_count() > 1:
            # All would have to find the same entries, and their disks are their own.
            LOG.info("features that several processes make together are not kept on disk")
            self._cache = None
        self._sources: dict[str, data.Source] = {}
        self._digests: dict[str, str] = {}
        self._made: dict[Any, FeatureSet] = {}
        self._programs: dict[str, Callable] = {}

    def renew(self, params: Any) -> None:
        """The same model with other weights: features are made anew, programs stay compiled."""
        self.model = self.model._replace(params=params)
        self._made.clear()
        vars(self).pop("weights", None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, those of training; () where there are none."""
        return self.source("train").classes

    @functools.cached_property
    def image(self) -> int:
        """Side of the images in pixels: the model's, or for raw pixels that of the first image."""
        return self.model.image or datasets.side(self.source("train"))

    @functools.cached_property
    def weights(self) -> str:
        """Digest of the model."""
        return models.digest(self.model)

    @functools.cached_property
    def ratio(self) -> float:
        """Share of the short side that is kept: resized to round(image / ratio), its middle cut."""
        own = getattr(self.source("train"), "evaluation_ratio", RATIO)
        return own if self._ratio is None else self._ratio

    @property
    def settings(self) -> dict[str, Any]:
        """What decides all numbers, whatever the task."""
        limits = {f"{split}_limit": limit for split, limit in self._limits.items()}
        return {"pool": self.pool, **limits, "image": self.image, "ratio": self.ratio}

    def source(self, split: str) -> data.Source:
        """The records of "train" or "test" that are taken, labelled with training's classes."""
        if split not in self._limits:
            raise ConfigError(f"there is no split '{split}', expected train or test")
        if split not in self._sources:
            classes = None if split == "train" else self.classes
            records, limit = self.data.open(split, classes), self._limits[split]
            self._sources[split] = spread(records, limit) if limit else records
        return self._sources[split]

    @property
    def records(self) -> dict[str, str]:
        """Digest of the records of each split that has been opened."""
        return {split: self._digest(split) for split in self._sources}

    def _digest(self, split: str) -> str:
        if split not in self._digests:
            self._digests[split] = datasets.digest(self.source(split))
        return self._digests[split]

    def batch(self, split: str) -> int:
        """How many images of a split are encoded at once, as many on each device."""
        return self._at_once(self.source(split))

    def _at_once(self, source: data.Source) -> int:
        devices = jax.device_count()
        return -(-min(self.at_once, len(source)) // devices) * devices

    def labelled(self, *, what: str = "a probe", **kind: Any) -> tuple[FeatureSet, FeatureSet]:
        """Features of the labelled records of the training and of the test set, for classifiers.

        what: that needs labels, for sentences.  kind: of features, their `pool` and `blocks`.

        Raises:
          ConfigError: a split without classes, or with one that training lacks.
        """
        for split in self._limits:  # both, before anything is encoded
            protocol.require_labels(self.source(split), split=split, what=what)
        train, test = (_with_labels(self.features(split, **kind), split) for split in self._limits)
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
        self,
        split: str,
        *,
        pool: str | None = None,
        blocks: int = 1,
        transform: Transform | None = None,
    ) -> FeatureSet:
        """Features of the records that can be read, in order, each once; -1 = without a label.

        Args:
          split: "train" or "test".
          pool: "mean", "cls", "both" or "tokens", see `pooling.pooled`; without meaning for raw
            pixels, which are what they are.
          blocks: of how many last blocks.
          transform: of the images.
        """
        pool = self.pool if pool is None else pool
        see = self.seeing({"": dict(pool=pool, blocks=blocks)})
        pixels = self.model.network is None
        name = models.PIXELS if pixels else f"{pool} of {blocks} blocks"
        return self.mapped(split, lambda *x: see(*x)[""], name=name, transform=transform)

    def seeing(self, kinds: Mapping[str, Mapping[str, Any]]) -> See:
        """Several kinds of features of images, by name, of one forward pass.

        kinds: `pool` and `blocks` of each, see `features`.
        """
        if self.model.network is None:
            return lambda params, images: dict.fromkeys(kinds, raw_pixels(images))
        layers = any(kind.get("blocks", 1) > 1 for kind in kinds.values())

        def see(params, images):
            features = self.encode(params, images, **({"layers": True} if layers else {}))
            norm = functools.partial(models.last_norm, self.model, params)
            whole = {name: {"pool": self.pool, **kind} for name, kind in kinds.items()}
            return {name: pooled(features, norm=norm, **kind) for name, kind in whole.items()}

        return see

    def encode(self, params: Any, images: Array, **options: Any) -> Features:
        """What the model makes of (B, H, W, 3) uint8 images; options: of `Network.encode`."""
        return models.encode(self.model, params, images, **options)

    def mapped(
        self, split: str, apply: Apply, *, name: str, transform: Transform | None = None
    ) -> FeatureSet:
        """Any function of the images, as features are: made on all devices, once, and kept.

        Args:
          split: "train" or "test".
          apply: (parameters of the model, (B, H, W, 3) uint8 images) -> (B, ...) float32; compiled.
          name: which says all that decides it, beside the model; the result is kept under it.
          transform: of the images.
        """
        key = split, name, transform and transform.name
        if transform is not None:  # there may be a hundred, each of which is asked for once
            return self._kept(apply, *key, transform)
        if key not in self._made:
            self._made[key] = self._kept(apply, *key, transform)
        return self._made[key]

    def streamed(
        self, split: str, program: Apply, *, rows: np.ndarray | None = None, what: str = "a pass"
    ) -> Iterator[FeatureSet]:
        """Any function of the images, batch by batch on all devices; nothing is kept.

        Args:
          split: "train" or "test".
          program: (parameters of the model, (B, H, W, 3) uint8 images) -> (B, ...), compiled.
          rows: of which records; None = of all of them.
          what: this is, for the log.
        """
        source = self.source(split)
        part = source if rows is None else Subset(source, rows)
        return self._passes(program, part, None, split=split, what=what)

    def drawn(
        self,
        rows: np.ndarray,
        *,
        batch: int,
        seed: int,
        rand_augment: Mapping[str, Any] | None = None,
    ) -> Iterator[tuple[Array, Array]]:
        """(images, labels) of training records on all devices, without end: in each epoch each
        record once, in another order and cut anew.

        Area .08 to 1 of the whole image, ratio ¾ to 4/3, mirrored by halves, bicubic: the random
        resized crop of torchvision.

        rows: which records.  batch: images of a step, of all processes; the devices divide it.
        rand_augment: of the crops, see `Crops`; None = off.
        """
        crops = Crops(size=self.image, views=("a",), rand_augment=rand_augment)
        mesh = sharding.mesh(batch=batch)
        reads = dict(batch=batch, seed=seed, crops=crops, share=sharding.share(mesh))
        stream = batches(Subset(self.source("train"), rows), **reads)

        def put(batch):
            return sharding.put((batch.images["a"], batch.label), mesh)

        for pair, _ in prefetch(stream, put):
            yield pair

    def _kept(self, apply: Apply, split: str, name: str, changed: str, transform) -> FeatureSet:
        """From the cache, or made: in memory, or on disk where it does not fit there."""
        program = self._programs.setdefault(name, jax.jit(apply))
        source, what = self.source(split), f"features of {split}"
        make = functools.partial(self._passes, program, source, transform, split=split, what=what)
        if (folder := self._folder(program, split, keep=transform is None)) is None:
            return FeatureSet(*map(np.concatenate, zip(*make(), strict=True)))
        key = {
            "weights": self.weights,
            "records": self._digest(split),
            "function": name,
            "transform": changed,
            "image": self.image,
            "ratio": self.ratio,
            "m3i_jax": m3i_jax.__version__,
            "platform": jax.default_backend(),
        }
        return cache.kept(folder, key, make)

    def _folder(self, program: Any, split: str, *, keep: bool) -> Path | None:
        """Where features of a split are written; None keeps them in memory.

        keep: also for the next program. Of changed images there may be a hundred sets, each of
          which is asked for once, so that they would fill the disk.
        """
        if keep and self._cache is not None:
            return self._cache
        images = jax.ShapeDtypeStruct((self.batch(split), self.image, self.image, 3), np.uint8)
        row = math.prod(program.eval_shape(self.model.params, images).shape[1:])
        if 4 * row * len(self.source(split)) <= cache.LARGE:
            return None
        return Path(self._scratch.name)

    @functools.cached_property
    def _scratch(self) -> tempfile.TemporaryDirectory:
        """A folder as long-lived as this object, for what does not fit into memory."""
        return tempfile.TemporaryDirectory(prefix="m3i_jax-features-")

    def _passes(
        self,
        program: Apply,
        source: data.Source,
        transform: Transform | None,
        *,
        split: str,
        what: str,
    ) -> Iterator[FeatureSet]:
        """The features batch by batch, each batch shared by all devices; of a part of `split`."""
        batch, read = self._at_once(source), 0
        mesh = sharding.mesh(batch=batch)
        params = jax.device_put(self.model.params, sharding.replicated(mesh))
        compiled = functools.partial(program, params)
        reads = dict(batch=batch, size=self.image, ratio=self.ratio, share=sharding.share(mesh))
        rows = epoch(source, **reads)
        if not self._quiet:
            total, unit = -(-len(source) // batch), (batch, "images")
            rows = counted(rows, f"{what}: batch", total=total, unit=unit)
        change = transform and transform.apply
        put = functools.partial(sharding.put, mesh=mesh)
        with jax.set_mesh(mesh):
            for features in passed(compiled, rows, length=len(source), put=put, change=change):
                read += len(features.labels)
                yield features
        if lost := len(source) - read:
            total = len(source)
            LOG.warning("%d of %d %s records cannot be read: they are left out", lost, total, split)


def _with_labels(rows: FeatureSet, split: str) -> FeatureSet:
    """The rows that have a label; the log says how many have none."""
    kept = rows.labels >= 0
    if kept.all():
        return rows
    silent = int((~kept).sum())
    LOG.warning("%d of %d %s records have no label: they are left out", silent, len(kept), split)
    return FeatureSet(*(column[kept] for column in rows))
