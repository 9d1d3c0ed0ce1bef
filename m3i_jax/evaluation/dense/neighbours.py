"""Cells of training images that vote for the cells of others: masks without any training.

Every cell of an image has a feature, and of the training images also shares of categories. As in
DINO's classification by neighbours (Caron et al. 2021, https://arxiv.org/abs/2104.14294), those k
cells vote that are nearest by their cosine, each by exp(cos/τ); that cells do so, from a bank that
is bounded, is of Balažević et al. 2023, https://arxiv.org/abs/2306.01667.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from m3i_jax import geometry, normalize
from m3i_jax.data.originals import Original, originals
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.subset import spread
from m3i_jax.data.views import annotated
from m3i_jax.data.views.annotated import Wanted
from m3i_jax.data.views.whole_images import kept_ratio
from m3i_jax.evaluation.dense.predictor import Predictor
from m3i_jax.evaluation.dense.probe import every_map
from m3i_jax.evaluation.dense.tested import alike
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.models import Model
from m3i_jax.geometry.maps import Blocks
from m3i_jax.parallel import processes
from m3i_jax.types import Array, Share

CHUNK = 512  # cells that ask at once: memory is so many rows of the bank's length


class Cells(NamedTuple):
    """How an image becomes features of its cells.

    apply: (parameters, (B, H, W, 3) normalised images) -> (B, h, w, D).
    params: of the encoder; None = there is none.   stride: pixels that divide the sides of images.
    """

    apply: Callable[[Any, Array], Float[Array, "batch rows columns dim"]]
    params: Any
    stride: int

    @classmethod
    def of(cls, model: Model, blocks: Blocks, *, patch: int) -> "Cells":
        """Those of the maps of an encoder, or patches of raw pixels.

        blocks: whose maps, several side by side at the size of the largest.  patch: side of raw
        pixels' cells.

        Raises:
          ConfigError: the encoder has not so many blocks.
        """
        if model.network is None:
            return cls(functools.partial(_patches, patch=patch), None, patch)
        every_map(model, blocks)  # refuses blocks that are not there
        encoder = Predictor(model.network, None, "", blocks)

        def apply(params, images):
            maps = encoder.seen(params, images).maps
            grid = max((y.shape[1:3] for y in maps), key=math.prod)
            return jnp.concatenate([geometry.bilinear(y, grid) for y in maps], axis=-1)

        params = {"encoders": {"image": model.params["encoders"]["image"]}}
        return cls(apply, params, encoder.stride)


class Bank(NamedTuple):
    """Cells that vote.

    features: (N, D), of unit length.   shares: (N, C), how much of each is of which category.
    """

    features: Float[Array, "rows dim"]
    shares: Float[Array, "rows classes"]


class Neighbours(NamedTuple):
    """What a bank says of the cells of an image: shares of categories; see `tested.predictions`.

    params: {"encoder": of `cells`, "bank": `Bank`}.   k: how many vote.   temperature: τ.
    """

    cells: Callable[[Any, Array], Array]
    params: dict[str, Any]
    stride: int
    k: int
    temperature: float

    def said(
        self, params: Any, images: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch rows columns classes"]:
        """The shares of every cell, on the grid of the cells."""
        x = self.cells(params["encoder"], images)
        how = dict(k=self.k, temperature=self.temperature)
        shares = vote(params["bank"], x.reshape(-1, x.shape[-1]), **how)
        return shares.reshape(*x.shape[:3], -1)


def vote(
    bank: Bank,
    queries: Float[Array, "queries dim"],
    *,
    k: int,
    temperature: float,
    chunk: int = CHUNK,
) -> Float[Array, "queries classes"]:
    """Mean of the shares of the k nearest cells by their weights, Σ wᵢ sᵢ / Σ wᵢ, w = exp(cos/τ).

    Exact: every pair is compared, in float32; k beyond the bank means all of it.
    """
    queries = normalize.unit(jnp.asarray(queries, jnp.float32))

    def of_one(query):
        # Default precision on accelerators is bfloat16, which reorders near neighbours.
        near = jnp.matmul(bank.features, query, precision="highest")
        near, index = jax.lax.top_k(near, min(k, len(bank.features)))
        return jax.nn.softmax(near / temperature) @ bank.shares[index]

    return jax.lax.map(of_one, queries, batch_size=min(chunk, len(queries)))


def collected(
    cells: Cells,
    source: Source,
    *,
    classes: int,
    most: int,
    base: tuple[int, int] | None = None,
    batch: int = 16,
    seed: int = 0,
    seen: Callable[[Iterator[Original]], Iterator[Original]] = lambda rows: rows,
    share: Share = Share(),
) -> Bank:
    """Cells of all records that have a mask, as many of each, see `drawn`.

    Args:
      source: of more than `most` records so many are taken, spread evenly.
      most: cells of the bank.   base: see `tested.Way`.   batch: views that are shown at once.
      seed: of the draws.   seen: goes round the pass, to say how far it is.
      share: every which records this process looks at; the bank has those of all.

    Raises:
      ConfigError: a mask names a category beyond `classes`.
      NotMeasurable: no record has a mask with a named pixel.
    """
    source = spread(source, most) if len(source) > most else source
    wanted, each = Wanted(("mask",), categories=classes), most // max(len(source), 1)
    program = jax.jit(lambda params, x: cells.apply(params, normalize.levels(x)))
    cut, rows = functools.partial(kept_ratio, base=base, multiple=cells.stride), []
    for group in alike(seen(originals(source, cut=cut, share=share)), batch):
        views = np.stack([one.view for one in group])
        padded = np.concatenate([views, np.repeat(views[:1], batch - len(group), axis=0)])
        made = np.asarray(program(cells.params, padded))[: len(group)]
        for one, features in zip(group, made, strict=True):
            if (said := wanted.said(one.sample)).mask is None:
                continue
            shares = shares_of(_mask(said, one), features.shape[:2], classes)
            chosen = drawn(shares, each, np.random.default_rng([seed, one.number]))
            flat = features.reshape(-1, features.shape[-1])[chosen]
            own = flat.astype(np.float32), shares.reshape(-1, classes)[chosen]
            rows.append((one.number, own))
    rows = processes.by_number(rows, share)
    if not sum(len(shares) for _, shares in rows):
        raise NotMeasurable(f"no record of '{source.name}' says its 'mask'")
    features, shares = map(np.concatenate, zip(*rows, strict=True))
    return Bank(normalize.unit(jnp.asarray(features)), jnp.asarray(shares))


def shares_of(
    mask: UInt8[np.ndarray, "height width"], grid: tuple[int, int], classes: int
) -> Float[np.ndarray, "rows columns {classes}"]:
    """How much of the named pixels of each cell is of each category; 0 where none is named."""
    high, wide = mask.shape[0] // grid[0], mask.shape[1] // grid[1]
    pixels = mask.reshape(grid[0], high, grid[1], wide).swapaxes(1, 2).reshape(-1, high * wide)
    known = pixels < classes
    places = np.arange(len(pixels))[:, None] * classes + pixels
    counts = np.bincount(places[known], minlength=len(pixels) * classes)
    counts = counts.reshape(*grid, classes).astype(np.float32)
    return counts / np.maximum(counts.sum(-1, keepdims=True), 1)


def drawn(
    shares: Float[np.ndarray, "rows columns classes"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, " chosen"]:
    """Numbers of at most so many cells, of each category as many as it has and others leave.

    The categories are those that cells have most of. They take turns, each a cell of its own at
    random: the little that is of an object is no less likely than the ground around it. Cells
    without a named pixel are never drawn.
    """
    flat = shares.reshape(-1, shares.shape[-1])
    numbers = rng.permutation(np.flatnonzero(flat.sum(-1) > 0))
    of = flat[numbers].argmax(-1)
    turn = np.zeros(len(of), np.int64)
    for category in np.unique(of):
        turn[of == category] = np.arange((of == category).sum())
    return numbers[np.argsort(turn, kind="stable")][:count]


def _mask(said: Annotations, one: Original) -> UInt8[np.ndarray, "height width"]:
    """A mask at the pixels of the view of its image; unknown beyond the image."""
    return annotated.seen(said, one.box, one.view.shape[:2]).mask


def _patches(params: None, images: Array, *, patch: int) -> Array:
    """Raw pixels of every cell, (B, h, w, p·p·3)."""
    grid = images.shape[1] // patch, images.shape[2] // patch
    return geometry.patchify(images, patch).reshape(len(images), *grid, -1)
