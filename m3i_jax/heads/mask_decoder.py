"""The transformer decoder of Mask2Former: queries look at where their own masks are.

Cheng et al. 2022, sections 3.2 and 3.3, https://arxiv.org/abs/2112.01527.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax import geometry
from m3i_jax.heads.pixel_decoder import UNIT
from m3i_jax.nn.convolution import TORCH
from m3i_jax.nn.linear import Linear, einsum
from m3i_jax.nn.norms import layer_norm
from m3i_jax.nn.query_layers import (
    EPS,
    CrossAttention,
    Perceptron,
    Residual,
    feed_forward,
    perceptron,
    perceptron_weights,
    scanned,
)
from m3i_jax.types import Array

States = Float[Array, "*positions dim"]


class Level(NamedTuple):
    """A map as queries see it: cells (B, N, D), their keys, and features of masks (B, N, M)."""

    cells: Float[Array, "batch keys dim"]
    keys: Float[Array, "batch keys dim"]
    features: Float[Array, "batch keys _mask_width"]


class Predict(NamedTuple):
    """Weights of what makes predictions of queries: a layer norm, and an MLP of three layers.

    They are shared by all layers, and read in the loop over these without a gradient.
    """

    scale: Float[Array, " dim"]
    bias: Float[Array, " dim"]
    layers: Perceptron

    def normed(self, x: States) -> States:
        """LN(x), float32."""
        return layer_norm(x, self.scale, self.bias, EPS, jnp.float32)

    def embedded(self, y: States, dtype: DTypeLike) -> States:
        """The embedding of what is normed, float32."""
        return perceptron(self.layers, y, dtype)


class MaskLayer(nn.Module):
    """x ← LN(x + cross(x)); x ← LN(x + self(x)); x ← LN(x + mlp(x))."""

    heads: int
    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch queries dim"],
        position: Float[Array, "queries dim"],
        level: Level,
        mask: Bool[Array, "batch 1 queries keys"],
    ) -> Float[Array, "batch queries dim"]:
        """Queries (B, Q, D) float32, which attend to the cells where `mask` is True -> the same."""
        position = position[None]
        own = dict(heads=self.heads, dtype=self.dtype)
        y = CrossAttention(**own, name="cross_attn")(x + position, level.keys, level.cells, mask)
        x = Residual(name="norm1")(x, y)
        y = CrossAttention(**own, name="self_attn")(x + position, x + position, x)
        x = Residual(name="norm2")(x, y)
        return feed_forward(x, self.hidden, dtype=self.dtype, norm="norm3")


class Round(nn.Module):
    """One layer for each level, the coarsest first."""

    heads: int
    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch queries dim"],
        position: Float[Array, "queries dim"],
        levels: Sequence[Level],
        predict: Predict,
    ) -> tuple[Float[Array, "batch queries dim"], Float[Array, "levels batch queries dim"]]:
        """Queries (B, Q, D) -> those behind the last layer, and those in front of every one."""
        seen = []
        for number, level in enumerate(levels):
            seen.append(x)
            mask = foreground(x, level.features, predict, self.dtype)
            layer = MaskLayer(self.heads, self.hidden, self.dtype, name=f"level_{number}")
            x = layer(x, position, level, mask)
        return x, jnp.stack(seen)


def foreground(
    x: Float[Array, "batch queries dim"],
    features: Float[Array, "batch keys _mask_width"],
    predict: Predict,
    dtype: DTypeLike,
) -> Bool[Array, "batch 1 queries keys"]:
    """The cells of a level where the mask of a query is ½ or more; all, where none is.

    The features are resized in front of the product, which is the same as its result resized.
    """
    x, features, predict = jax.lax.stop_gradient((x, features, predict))
    embedding = predict.embedded(predict.normed(x), dtype)
    inside = einsum("bqc,bnc->bqn", embedding.astype(dtype), features.astype(dtype)) >= 0.0
    return (inside | ~inside.any(-1, keepdims=True))[:, None]


class MaskDecoder(nn.Module):
    """Learned queries, layers over the levels in turn, a category and a mask of each query.

    Attributes:
      queries: how many.
      rounds: of one layer for each level.
      heads, hidden: of a layer.
      out: categories.
      dtype: of products but the logits of categories.
    """

    queries: int
    rounds: int
    heads: int
    hidden: int
    out: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        levels: Sequence[Float[Array, "batch _rows _columns dim"]],
        features: Float[Array, "batch rows columns mask_width"],
        *,
        every: bool,
    ) -> tuple[
        Float[Array, "batch outputs queries _categories"],
        Float[Array, "batch outputs queries rows columns"],
    ]:
        """Maps, the coarsest first, and features of masks -> logits of categories and of masks.

        (B, L, Q, out + 1) and (B, L, Q, h, w) float32; every: of what goes into each layer, too.
        """
        batch, width = len(features), levels[0].shape[-1]
        start = self.param("query", UNIT, (self.queries, width), jnp.float32)
        position = self.param("query_position", UNIT, (self.queries, width), jnp.float32)
        predict = self._predict(width, features.shape[-1])
        own = self.heads, self.hidden, self.dtype
        rounds = scanned(Round, *own, length=self.rounds, shared=3)
        x = jnp.broadcast_to(start[None], (batch, *start.shape))
        x, seen = rounds(x, position, self._seen(levels, features), predict)
        seen = jnp.concatenate([seen.reshape(-1, *x.shape), x[None]]) if every else x[None]
        y = predict.normed(jnp.moveaxis(seen, 0, 1))
        categories = Linear(self.out + 1, kernel_init=TORCH, name="category")(y)
        embedding = predict.embedded(y, self.dtype).astype(self.dtype)
        masks = einsum("blqc,bhwc->blqhw", embedding, features.astype(self.dtype))
        return categories, masks

    def _predict(self, width, mask_width):
        """What is shared by all predictions of masks."""
        scale = self.param("norm_scale", nn.initializers.ones, (width,), jnp.float32)
        bias = self.param("norm_bias", nn.initializers.zeros, (width,), jnp.float32)
        layers = perceptron_weights("mask", (width, width, width, mask_width))
        return Predict(scale, bias, layers)

    def _seen(self, maps, features):
        """The levels as queries see them."""
        width = maps[0].shape[-1]
        embedding = self.param("level_embed", UNIT, (len(maps), width), jnp.float32)
        levels = []
        for number, y in enumerate(maps):
            grid = y.shape[1:3]
            cells = y.reshape(len(y), -1, width) + embedding[number][None, None]
            keys = cells + geometry.grid_waves(grid, width)
            resized = geometry.bilinear(features, grid)
            levels.append(Level(cells, keys, resized.reshape(len(y), -1, features.shape[-1])))
        return tuple(levels)
