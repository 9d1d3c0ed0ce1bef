"""Multi-scale deformable attention: a query reads a few places of every map of a pyramid.

Zhu et al. 2021, section 4.1, https://arxiv.org/abs/2010.04159.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax.nn.deformable import gathered
from m3i_jax.nn.linear import Linear, dot
from m3i_jax.types import Array, Grid

POINTS = 4


def attended_places(
    values: Float[Array, "batch tokens dim"],
    places: Float[Array, "batch queries heads _levels points 2"],
    weights: Float[Array, "batch queries heads _levels points"],
    grids: Sequence[Grid],
) -> Float[Array, "batch queries dim"]:
    """y_h(q) = Σ_lk w_hlk(q) v_hl(p_hlk(q)), each level read bilinearly and zero outside.

    Zhu et al. 2021, Eq. 3, https://arxiv.org/abs/2010.04159.

    Args:
      values: (B, Σ H_l W_l, D), the cells of all levels in row-major order, one level after the
        other, in any float dtype; D/heads neighbouring channels are of one head.
      places: (B, Q, heads, levels, points, 2) of [x, y] as shares of the map, (0, 0) its upper left
        and (1, 1) its lower right corner.
      weights: (B, Q, heads, levels, points).
      grids: (H_l, W_l) of each level.

    Returns:
      (B, Q, D) in the dtype of `values`; sums are float32.

    Raises:
      ValueError: the grids are not those of `values` or of `places`.
    """
    counts = [rows * columns for rows, columns in grids]
    if sum(counts) != values.shape[1] or len(grids) != places.shape[3]:
        raise ValueError(
            f"deformable attention reads {values.shape[1]} cells in {places.shape[3]} levels, but "
            f"grids {[*grids]} have {sum(counts)}"
        )
    total = 0.0
    for level, start in enumerate(np.cumsum([0, *counts[:-1]])):
        rows, columns = grids[level]
        cells = values[:, start : start + counts[level]]
        cells = cells.reshape(len(values), rows, columns, values.shape[-1])
        size = jnp.asarray([columns, rows], jnp.float32).reshape(1, 1, 1, 1, 2)
        at = places[:, :, :, level] * size - 0.5
        total += gathered(cells, at, weights[:, :, :, level]).astype(jnp.float32)
    return total.astype(values.dtype)


class DeformableAttention(nn.Module):
    """y = W_y Σ_lk a_lk(q) (W_v x)(p + Δ_lk(q)) + b, a = softmax(W_a q + b) over levels and points.

    Δ = (W_o q + b) / (W_l, H_l) around a point, or (W_o q + b)/K · (w, h)/2 around the centre of a
    box. It starts with a = 1/(levels · K), and with point k of each head k cells away, in the
    direction of that head. Zhu et al. 2021, appendix A.3 and A.4, https://arxiv.org/abs/2010.04159.

    Attributes:
      heads: of attention.
      levels: maps of the pyramid.
      points: K, places of each map.
      dtype: of values and products; offsets and weights are float32.
    """

    heads: int
    levels: int
    points: int = POINTS
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "batch queries dim"],
        around: Float[Array, "batch queries _sides"],
        cells: Float[Array, "batch tokens dim"],
        grids: Sequence[Grid],
        kept: Bool[Array, "batch tokens"] | None = None,
    ) -> Float[Array, "batch queries dim"]:
        """Queries (B, Q, D) and cells (B, Σ H_l W_l, D) -> (B, Q, D) in `dtype`.

        around: (B, Q, 2) [x, y] of points, or (B, Q, 4) [x, y, w, h] of centres and sides of boxes,
          as shares of the image.
        grids: (H_l, W_l) of each level, in the order of the cells.
        kept: cells that are read; where the others are, which are padding, is 0. None = all.
        """
        width, shape = cells.shape[-1], (*queries.shape[:2], self.heads, self.levels, self.points)
        queries = queries.astype(jnp.float32)
        values = Linear(width, dtype=self.dtype, name="value_proj")(cells)
        values = values if kept is None else jnp.where(kept[..., None], values, 0)
        offsets = Offsets(*shape[2:], name="sampling_offsets")(queries)
        weights = Linear(
            math.prod(shape[2:]), kernel_init=nn.initializers.zeros, name="attention_weights"
        )(queries)
        weights = jax.nn.softmax(weights.reshape(*shape[:3], -1), axis=-1).reshape(shape)
        around = around.astype(jnp.float32)[:, :, None, None, None]
        if around.shape[-1] == 2:
            sizes = jnp.asarray([grid[::-1] for grid in grids], jnp.float32)
            offsets = offsets / sizes[None, None, None, :, None]
        else:
            offsets = offsets / self.points * around[..., 2:] * 0.5
        y = attended_places(values, around[..., :2] + offsets, weights, grids)
        return Linear(width, dtype=self.dtype, name="output_proj")(y)


class Offsets(nn.Module):
    """W q + b in cells, (B, Q, D) -> (B, Q, heads, levels, points, 2) float32 of [x, y].

    W starts at 0, and b at k · (cos θ_h, sin θ_h) / max(|cos θ_h|, |sin θ_h|), θ_h = 2π h / heads,
    for point k = 1, 2, ... of head h: on the edges of squares around the query.
    """

    heads: int
    levels: int
    points: int

    @nn.compact
    def __call__(
        self, queries: Float[Array, "batch queries dim"]
    ) -> Float[Array, "batch queries {self.heads} {self.levels} {self.points} 2"]:
        """Queries (B, Q, D) float32."""
        shape = self.heads, self.levels, self.points, 2
        zeros = nn.initializers.zeros
        kernel = self.param("kernel", zeros, (queries.shape[-1], math.prod(shape)), jnp.float32)
        bias = self.param("bias", lambda *_: jnp.asarray(self.start()), (math.prod(shape),))
        y = dot(queries, kernel) + bias[None, None]
        return y.reshape(*queries.shape[:2], *shape)

    @nn.nowrap
    def start(self) -> Float[np.ndarray, " out"]:
        """b, (heads · levels · points · 2,) float32."""
        angles = 2 * np.pi * np.arange(self.heads) / self.heads
        ways = np.stack([np.cos(angles), np.sin(angles)], -1)
        ways = ways / np.abs(ways).max(-1, keepdims=True)
        far = 1.0 + np.arange(self.points)
        bias = ways[:, None, None] * far[None, None, :, None] * np.ones((1, self.levels, 1, 1))
        return np.float32(bias.reshape(-1))
