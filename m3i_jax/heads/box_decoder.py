"""The decoder of DINO: queries are boxes, and each layer moves them.

Zhang et al. 2023, https://arxiv.org/abs/2203.03605; its layers are those of Deformable DETR (Zhu et
al. 2021, https://arxiv.org/abs/2010.04159), its queries DAB-DETR's (Liu et al. 2022,
https://arxiv.org/abs/2201.12329).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax import geometry
from m3i_jax.detection.box_sets import QueryBoxes, logit
from m3i_jax.nn.convolution import TORCH
from m3i_jax.nn.deformable_attention import DeformableAttention
from m3i_jax.nn.linear import dot
from m3i_jax.nn.norms import LayerNorm
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
from m3i_jax.types import Array, Grid

PRIOR = -math.log((1 - 0.01) / 0.01)  # of a category, where a sigmoid begins at .01
ROUNDING = 1e-3  # of a cell


class Valid(NamedTuple):
    """What of padded images, and of their maps, is image: in the upper left corner.

    part: (B, 2) shares of rows and columns.   kept: (B, N), which cells of all levels.
    """

    part: Float[Array, "batch 2"]
    kept: Bool[Array, "batch tokens"]

    @classmethod
    def of(
        cls, extent: Float[Array, "batch 2"], size: tuple[int, int], grids: Sequence[Grid]
    ) -> "Valid":
        """extent: height and width of images in pixels.   size: those of the view.

        A cell counts of which anything is image, as in the published masks.
        """
        whole = jnp.asarray([size], jnp.float32)
        part = jnp.clip(extent.astype(jnp.float32), 1.0, whole) / whole
        return cls(
            part, jnp.concatenate([kept_cells(part, g).reshape(len(part), -1) for g in grids], 1)
        )

    @property
    def boxes(self) -> Float[Array, "batch 1 4"]:
        """Shares of the view of what are shares of 1 of the image, of x, y, width and height."""
        return jnp.tile(self.part[:, ::-1], 2)[:, None]


def kept_cells(part: Float[Array, "batch 2"], grid: Grid) -> Bool[Array, "batch rows columns"]:
    """Which cells of a map show some of the image, whose share of rows and columns is `part`."""
    rows, columns = (
        # An image that ends with a cell may end behind it by a rounding.
        jnp.arange(n)[None] < n * part[:, axis, None] - ROUNDING
        for axis, n in enumerate(grid)
    )
    return rows[:, :, None] & columns[:, None]


class BoxLayer(nn.Module):
    """x ← LN(x + self(x)); x ← LN(x + deformable(x)); x ← LN(x + mlp(x)).

    Attributes:
      heads: of both kinds of attention.
      hidden: width of the MLP, whose activation is a ReLU.
      grids: (rows, columns) of each level.
      dtype: of products.
    """

    heads: int
    hidden: int
    grids: tuple[Grid, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch queries dim"],
        position: Float[Array, "batch queries dim"],
        boxes: Float[Array, "batch queries 4"],
        cells: Float[Array, "batch tokens dim"],
        mask: Bool[Array, "#batch 1 queries queries"] | None,
        valid: Valid | None = None,
    ) -> Float[Array, "batch queries dim"]:
        """Queries (B, Q, D) float32 around boxes, and cells of all levels (B, N, D) -> queries.

        mask: which queries see which, True = attend; None = all see all.
        valid: what of the maps is image, of which boxes are shares; None = all.
        """
        attention = CrossAttention(self.heads, self.dtype, name="self_attn")
        x = Residual(name="norm1")(x, attention(x + position, x + position, x, mask))
        reads = dict(heads=self.heads, levels=len(self.grids), dtype=self.dtype)
        places, kept = (boxes, None) if valid is None else (boxes * valid.boxes, valid.kept)
        read = DeformableAttention(**reads, name="cross_attn")
        y = read(x + position, places, cells, self.grids, kept)
        return feed_forward(
            Residual(name="norm2")(x, y), self.hidden, dtype=self.dtype, norm="norm3"
        )


class Moves(NamedTuple):
    """Weights that all layers share: what makes positions of boxes, and what moves boxes."""

    position: Perceptron
    box: Perceptron


class Step(nn.Module):
    """A layer, whose fields these are, and the boxes behind it: σ(logit(b) + MLP(x))."""

    heads: int
    hidden: int
    grids: tuple[Grid, ...]
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        carry: tuple[Float[Array, "batch queries dim"], Float[Array, "batch queries 4"]],
        cells: Float[Array, "batch tokens dim"],
        mask: Bool[Array, "#batch 1 queries queries"] | None,
        valid: Valid | None,
        moves: Moves,
    ) -> tuple[tuple, tuple]:
        """(queries, boxes) -> those behind the layer; for the next one boxes are given."""
        x, boxes = carry
        waves = box_waves(boxes, x.shape[-1] // 2)
        position = perceptron(moves.position, waves, self.dtype)
        layer = BoxLayer(self.heads, self.hidden, self.grids, self.dtype, name="layer")
        x = layer(x, position, boxes, cells, mask, valid)
        moved = jax.nn.sigmoid(logit(boxes) + perceptron(moves.box, x, self.dtype))
        return (x, jax.lax.stop_gradient(moved)), (x, moved)


def box_waves(boxes: Float[Array, "*positions 4"], dim: int) -> Float[Array, "*positions out"]:
    """Sine positions of y, x, width and height, (..., 4 dim)."""
    each = [geometry.waves(boxes[..., i], dim) for i in (1, 0, 2, 3)]
    return jnp.concatenate(each, axis=-1)


class BoxDecoder(nn.Module):
    """Layers one after the other, and what is said behind each: categories, and a box.

        b_l = σ(logit(b'_{l−1}) + MLP(LN(x_l)))        b'_l = σ(logit(sg b'_{l−1}) + MLP(x_l))

    Where a box is said, the gradient flows through the one before it, too ("look forward twice").

    Attributes:
      layers, heads, hidden: of the decoder.
      out: categories.
      grids: (rows, columns) of each level.
      dtype: of products but the logits of categories.
    """

    layers: int
    heads: int
    hidden: int
    out: int
    grids: tuple[Grid, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch queries dim"],
        boxes: Float[Array, "batch queries 4"],
        cells: Float[Array, "batch tokens dim"],
        mask: Bool[Array, "#batch 1 queries queries"] | None,
        valid: Valid | None = None,
    ) -> QueryBoxes:
        """Queries (B, Q, D), their boxes (B, Q, 4), cells (B, N, D) -> (B, L, Q, ...) of each.

        valid: see `BoxLayer`.
        """
        width = x.shape[-1]
        moves = Moves(
            perceptron_weights("position", (2 * width, width, width)),
            box_weights(width, "box"),
        )
        own = self.heads, self.hidden, self.grids, self.dtype
        layers = scanned(Step, *own, length=self.layers, shared=4)
        carry = (x.astype(jnp.float32), boxes.astype(jnp.float32))
        _, (seen, moved) = layers(carry, cells, mask, valid, moves)
        before = jnp.concatenate([boxes[None], moved[:-1]])
        seen, before = (jnp.moveaxis(y, 0, 1) for y in (seen, before))
        y = LayerNorm(EPS, name="norm")(seen)
        boxes = jax.nn.sigmoid(logit(before) + perceptron(moves.box, y, self.dtype))
        return QueryBoxes(CategoryLogits(self.out, name="category")(y), boxes)


def box_weights(width: int, name: str) -> Perceptron:
    """An MLP of three layers that begins at 0, in a compact method."""
    return perceptron_weights(name, (width, width, width, 4), last=nn.initializers.zeros)


class CategoryLogits(nn.Module):
    """W x + b in float32, where b starts at −ln 99, so that hardly anything is anywhere."""

    out: int

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions out"]:
        """(..., D) -> (..., out)."""
        kernel = self.param("kernel", TORCH, (x.shape[-1], self.out), jnp.float32)
        prior = nn.initializers.constant(PRIOR)
        bias = self.param("bias", prior, (self.out,), jnp.float32)
        return dot(x.astype(jnp.float32), kernel) + bias.reshape((1,) * (x.ndim - 1) + (-1,))
