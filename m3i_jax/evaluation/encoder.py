"""A pre-trained encoder as a library: images in, features out, everything between inside.

encoder = m3i_jax.load("runs/mae")
features = encoder.encode(images)
features, names, labels, classes = encoder.embed("photos/")
"""

import dataclasses
import functools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import data, normalize
from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.epoch import RATIO, epoch
from m3i_jax.data.sources.in_memory import Picture, in_memory
from m3i_jax.data.sources.protocol import where
from m3i_jax.evaluation import datasets, models, named, pooling, progress
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import Apply, FeatureSet, passed
from m3i_jax.evaluation.models import Model
from m3i_jax.parallel import sharding
from m3i_jax.ranges import Count, Kept, refusal, shown
from m3i_jax.types import Array, Features

BATCH = 64  # images that are encoded at once


class Embedding(NamedTuple):
    """Features of a data set, a row for each image that can be read, in its order.

    features: (N, D) float32.   names: (N,) of the images, paths where they have some.
    labels: (N,) int32, -1 = none.   classes: names of the labels.
    """

    features: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]


class BlockFeatures(NamedTuple):
    """What is behind one block.

    block: its number, from 1 over all stages.
    tokens: (N, h, w, D) float32, of the cells of the image.
    class_token: (N, D) float32; None of an encoder that has none.
    """

    block: int
    tokens: np.ndarray
    class_token: np.ndarray | None


def load(
    path: str | os.PathLike,
    *,
    branch: str = "ema",
    step: int | None = None,
    image: int | None = None,
    crop: float | None = None,
    pool: str | None = None,
) -> "Encoder":
    """The encoder of a work directory, an export, a file of weights, or a name.

    Args:
      path: what `m3i evaluate --model` takes: runs/mae, runs/mae@5000, runs/mae/export,
        vit/model.safetensors of timm or transformers, untrained:vit_b16, ...
      branch, step: of a run, "ema" or "online", and which of its checkpoints; its newest.
      image: side of the images that it is to see, in pixels; None = its own.
      crop: share of an image's short side that it is to see; None = as run or file say, or 0.875.
      pool: how tokens become a vector, "mean", "cls" or "both"; None = as it was trained.

    Raises:
      ConfigError: there is none such; the message names the nearest.
    """
    model = named.model(os.fspath(path), branch=branch, step=step, image=image)
    models.module(model)  # refuses raw pixels
    crop, pool = (model.crop or RATIO) if crop is None else crop, pool or model.pool
    if wrong := refusal(crop, Kept, "crop"):
        raise ConfigError(wrong)
    if pool not in pooling.POOLS:
        raise ConfigError(f"pool is {shown(pool)}{nearest(str(pool), pooling.POOLS)}")
    # An evaluation needs the towers and decoders beside it; here they would be memory.
    own = {"encoders": {"image": jax.device_put(model.params["encoders"]["image"])}}
    return Encoder(model._replace(params=own), crop, pool)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Encoder:
    """An encoder of images with its weights; nothing of it changes.

    model: where it is from, see `models.Model`.
    crop: share of the short side of an image that it sees: short side to round(image / crop)
      pixels, bicubic, and the middle (image, image) of that.
    pool: how tokens become a vector, unless one of the functions is told another way.
    """

    model: Model
    crop: float
    pool: str

    @property
    def params(self) -> Mapping[str, Any]:
        """Its parameters, nested dicts of float32 arrays; those of `m3i_jax.encoders.create`."""
        return self.model.params["encoders"]["image"]

    @property
    def image(self) -> int:
        """Side of the images that it sees, in pixels."""
        return self.model.image

    @functools.cached_property
    def dim(self) -> int:
        """Length of a vector that `encode` returns."""
        program = functools.partial(self._pooled, pool=self.pool, blocks=1)
        return self._shapes(program).shape[-1]

    def apply(self, params: Mapping[str, Any], images: Array, **options: Any) -> Features:
        """A pure function for `jax.jit` and `jax.grad`: what the encoder makes of ready images.

        Args:
          params: as `params`.
          images: (B, image, image, 3), uint8 or floats from 0 to 1; normalised inside.
          options: of `Network.encode`: visible, layers, attention, train, key, ...
        """
        images = jnp.asarray(images)
        scale = 255.0 if jnp.issubdtype(images.dtype, jnp.integer) else 1.0
        levels = normalize.channels(images.astype(jnp.float32) / scale)
        whole = {"encoders": {"image": params}}
        return self.model.network.encode(whole, "image", levels, **options)

    def encode(
        self,
        images: Picture | Iterable[Picture],
        *,
        pool: str | None = None,
        blocks: int = 1,
        batch: int = BATCH,
    ) -> np.ndarray:
        """Features of images, (N, D) float32, a row for each; one image is one row.

        Args:
          images: arrays of uint8, or of floats from 0 to 1: (H, W, 3), or a stack (N, H, W, 3);
            images of Pillow's; paths; or a list of these, each of its own size.
          pool: "mean", "cls", "both", or "tokens" for (N, n, D), see `pooling.pooled`.
          blocks: of how many last blocks, side by side.
          batch: images at once. Fewer are filled up to a power of two, so few shapes are compiled.

        Raises:
          ConfigError: no images, or some that cannot be read.
        """
        program = functools.partial(self._pooled, pool=pool or self.pool, blocks=blocks)
        return self._features(program, in_memory(images), batch)

    def features(
        self,
        images: Picture | Iterable[Picture],
        *,
        layers: int | Sequence[int] = -1,
        norm: bool = True,
        batch: int = BATCH,
    ) -> list[BlockFeatures]:
        """Tokens of images behind blocks, on the grid of their cells, one `BlockFeatures` a block.

        Args:
          images: as for `encode`.
          layers: numbers of blocks from 1, over all stages; −1 is the last one, −2 that before.
          norm: whether a ViT's last norm is applied to all of them, as `encode` has it.
          batch: images at once.

        Raises:
          ConfigError: no such block.
        """
        shapes = self._shapes(functools.partial(self._apply, layers=True)).layers
        chosen = [layers] if isinstance(layers, int) else [*layers]
        numbers = tuple(_number(layer, len(shapes)) for layer in chosen)
        program = functools.partial(self._layers, numbers=numbers, norm=norm)
        flat, tokens = self._features(program, in_memory(images), batch), self._tokens(numbers)
        found = []
        for number, (count, dim) in zip(numbers, tokens, strict=True):
            own, flat = np.split(flat, [count * dim], axis=1)
            found.append(_on_grid(number, own.reshape(-1, count, dim), self.model))
        return found

    def embed(
        self,
        of: str | os.PathLike | data.Source | None = None,
        *,
        split: str = "train",
        pool: str | None = None,
        blocks: int = 1,
        limit: int = 0,
        batch: int = BATCH,
        quiet: bool = False,
    ) -> Embedding:
        """Features, names and labels of all images of a folder or of another source.

        Args:
          of: what `m3i evaluate --data` takes: a folder, a zip file of one, fashion_mnist, ...;
            a source; or None, the data that the run was trained on.
          split: "train" or "test"; a folder without splits is the training one.
          pool, blocks, batch: as for `encode`.
          limit: at most so many images, spread evenly; 0 takes all.
          quiet: says nothing on stderr of how far it is.

        Raises:
          ConfigError: there are no such data.
          NotMeasurable: none of the images can be read.
        """
        of, limits = self._data(of), {f"{split}_limit": limit}
        evaluation = Evaluation(self.model, of, **limits)
        source = evaluation.source(split)
        program = functools.partial(self._pooled, pool=pool or self.pool, blocks=blocks)
        rows, parts = 0, []
        tick = progress.rated(f"{of.name}: image", total=len(source), unit="images", say=_told)
        for part in self._passed(program, source, batch):
            parts.append(part)
            rows += len(part.labels)
            _ = quiet or tick(rows)
        features, labels, index = map(np.concatenate, zip(*parts, strict=True))
        names = tuple(where(source, int(i)) for i in index)
        return Embedding(features, names, labels, tuple(evaluation.classes))

    def __repr__(self) -> str:
        """What it is, what it sees and what it returns, in five lines."""
        model, count = self.model, sum(x.size for x in jax.tree.leaves(self.params))
        at = f" of step {model.step}" if model.workdir else ""
        trained = f"{model.config.objective['name']}, " if model.config else ""
        side, blocks = round(self.image / self.crop), len(self._shapes(self._every).layers)
        lines = [
            f"Encoder '{model.name}': {model.block['name']}, {count / 1e6:.3g} M parameters",
            f"  from      {trained}{model.branch}{at}",
            f"  images    any size: short side to {side}, the middle {self.image}x{self.image} of "
            "it, normalised",
            f"  encode    (N, {self.dim}) float32, pool '{self.pool}'",
            f"  features  {blocks} blocks",
        ]
        return "\n".join(lines + [f"  note      {model.note}"] * bool(model.note))

    @functools.cached_property
    def _apply(self) -> Any:
        return jax.jit(self.apply, static_argnames=("layers",))

    @functools.cached_property
    def _every(self) -> Any:
        return functools.partial(self._apply, layers=True)

    @functools.cached_property
    def _pooled(self) -> Any:
        """(params, images, pool, blocks) -> (B, D), compiled once for each shape."""

        def pooled(params, images, *, pool, blocks):
            features = self.apply(params, images, layers=blocks > 1)
            return pooling.pooled(features, pool, blocks=blocks, norm=self._norm(params))

        return jax.jit(pooled, static_argnames=("pool", "blocks"))

    @functools.cached_property
    def _layers(self) -> Any:
        """(params, images, numbers, norm) -> the chosen blocks' tokens in one row, (B, Σ n·D)."""

        def flat(params, images, *, numbers, norm):
            tokens = self._behind(params, images, numbers, norm)
            return jnp.concatenate([x.reshape(len(x), -1) for x in tokens], axis=1)

        return jax.jit(flat, static_argnames=("numbers", "norm"))

    def _behind(self, params, images, numbers, norm) -> list[Array]:
        """(B, class + n, D) float32 behind each of these blocks."""
        features = self.apply(params, images, layers=True)
        first, found = features.layers_pooled, []
        for number in numbers:
            x = jnp.asarray(features.layers[number - 1], jnp.float32)
            if first is not None:
                x = jnp.concatenate([jnp.asarray(first[number - 1], x.dtype)[:, None], x], axis=1)
            found.append(self._norm(params)(x) if norm else x)
        return found

    def _norm(self, params) -> Any:
        return functools.partial(models.last_norm, self.model, {"encoders": {"image": params}})

    def _tokens(self, numbers: tuple[int, ...]) -> list[tuple[int, int]]:
        """(class + n, D) of each of these blocks."""
        one = jax.ShapeDtypeStruct((1, self.image, self.image, 3), np.uint8)
        behind = functools.partial(self._behind, numbers=numbers, norm=False)
        return [x.shape[1:] for x in jax.eval_shape(behind, self.params, one)]

    def _shapes(self, program: Any) -> Any:
        """What a program returns of one image, without running it."""
        one = jax.ShapeDtypeStruct((1, self.image, self.image, 3), np.uint8)
        return jax.eval_shape(program, self.params, one)

    def _features(self, program: Apply, source: data.Source, batch: int) -> np.ndarray:
        """(N, ...) of all images of a source."""
        if not len(source):
            return np.zeros((0, *self._shapes(program).shape[1:]), np.float32)
        return np.concatenate([part.features for part in self._passed(program, source, batch)])

    def _passed(self, program: Apply, source: data.Source, batch: int) -> Iterator[FeatureSet]:
        """The features batch by batch, each shared by all devices."""
        if wrong := refusal(batch, Count, "batch"):
            raise ConfigError(wrong)
        devices, most = jax.device_count(), min(batch, len(source))
        each = 1 << (max(1, -(-most // devices)) - 1).bit_length()
        mesh = sharding.mesh(batch=each * devices)
        params = jax.device_put(self.params, sharding.replicated(mesh))
        reads = dict(size=self.image, ratio=self.crop, share=sharding.share(mesh))
        rows = epoch(source, batch=each * devices, **reads)
        put = functools.partial(sharding.put, mesh=mesh)
        with jax.set_mesh(mesh):
            apply = functools.partial(program, params)
            yield from passed(apply, rows, length=len(source), put=put)

    def _data(self, of: str | os.PathLike | data.Source | None) -> Data:
        """The data set that somebody names or has."""
        if of is None:
            return datasets.of_run(self.model)
        if isinstance(of, str | Path):
            return datasets.named(str(of))
        if not isinstance(of, data.Source):
            raise ConfigError(
                f"embed takes a folder or a source, not {shown(of)}; encode takes images"
            )
        return Data(of.name, lambda split, classes: of)


def _number(layer: int, count: int) -> int:
    """The number of a block from 1 on, which may be said from the end."""
    number = layer + count + 1 if layer < 0 else layer
    if not 1 <= number <= count:
        raise ConfigError(
            f"layers: there is no block {layer}, expected 1 to {count}, or -1 to -{count} from the "
            "end"
        )
    return number


def _on_grid(number: int, tokens: np.ndarray, model: Model) -> BlockFeatures:
    """Tokens (N, class + n, D) of a square image."""
    first = int(models.has_class_token(model))
    cells = tokens[:, first:]
    side = round(cells.shape[1] ** 0.5)
    grid = cells.reshape(len(cells), side, side, -1)
    return BlockFeatures(number, grid, tokens[:, 0] if first else None)


def _told(text: str, *values: Any) -> None:
    """A line for a user who has set up no log, as in a notebook."""
    print(text % values, file=sys.stderr, flush=True)
