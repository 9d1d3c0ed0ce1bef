"""DCNv3 as products with matrices of bilinear weights, for chips that read rows slowly.

y(p) = Σ_q A(p, q) v(q), A(p, q) = Σ_k a_k(p) Λ(q_y - y_k(p)) Λ(q_x - x_k(p)), with the places
(x_k, y_k) of the taps and Λ(t) = max(0, 1 - |t|), over all cells q of the map: the same sum as by
gathers, which are zeros of A elsewhere. So its gradient is a product too, Aᵀ g, where that of
gathers is a sum of scattered rows. A is made for some images and groups at a time, and made again
for the backward pass. It costs as many multiply-adds for a place as the map has cells, so that it
is for small maps alone.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int

from m3i_jax.types import Array, Grid

# Numbers of the matrix of an image and a group, at most: of 64 x 64 cells at as many places.
MOST = 2**24
AT_ONCE = 2**23  # numbers of all matrices that are made at a time; more do not stay on the chip


@runtime_checkable
class Places(Protocol):
    """Where taps are: a `Window` of `deformable`, or `Anywhere`.  offset_scale: of offsets."""

    offset_scale: float

    def taps(self) -> Int[np.ndarray, "taps 2"]:
        """(K, 2) of [x, y] from the centre."""

    def centres(self, count: int) -> Float[np.ndarray, " count"] | Int[np.ndarray, " count"]:
        """(count,) centres along one side of the map."""


def fits(grid: Grid, out: Grid) -> bool:
    """Whether a matrix from `out` places to the cells of `grid` is small enough."""
    return math.prod(grid) * math.prod(out) <= MOST


def forward(
    window: Places,
    values: Float[Array, "batch height width channels"],
    offsets: Float[Array, "batch rows columns places"],
    masks: Float[Array, "batch rows columns taps"],
) -> Float[Array, "batch rows columns channels"]:
    """The result of `dcnv3`, or of `gathered`, for such a window; shapes as there."""
    groups = masks.shape[3]

    def item(v, offsets, mask):
        return _times(_matrix(window, values.shape[1:3], masks.shape[1:3], offsets, mask), v)

    y = _by_items(item, masks, _items(values, groups), *_planar(offsets, masks), cells=values)
    return _whole(y, (*masks.shape[:3], -1)).astype(values.dtype)


def backward(
    window: Places,
    values: Float[Array, "batch height width channels"],
    offsets: Float[Array, "batch rows columns places"],
    masks: Float[Array, "batch rows columns taps"],
    g: Float[Array, "batch rows columns channels"],
) -> tuple[
    Float[Array, "batch height width channels"],
    Float[Array, "batch rows columns places"],
    Float[Array, "batch rows columns taps"],
]:
    """Gradients of values, offsets and masks for the cotangent g of the result."""
    groups, dtype = masks.shape[3], values.dtype

    def item(v, offsets, mask, g):
        of = lambda *given: _matrix(window, values.shape[1:3], masks.shape[1:3], *given)  # noqa: E731
        matrix, pull = jax.vjp(of, offsets, mask)
        outer = _dot(v, g, ((1,), (1,))).reshape(matrix.shape)  # the gradient of the matrix
        flat = matrix.reshape(len(v), -1).astype(dtype)
        return _dot(flat, g, ((1,), (0,))).astype(dtype), *pull(outer)

    g = _items(g.astype(dtype), groups)
    given = _items(values, groups), *_planar(offsets, masks), g
    d_values, d_offsets, d_masks = _by_items(item, masks, *given, cells=values)
    d_offsets = jnp.moveaxis(d_offsets.reshape(len(masks), groups, *d_offsets.shape[1:]), 4, 1)
    d_masks = jnp.moveaxis(d_masks.reshape(len(masks), groups, *d_masks.shape[1:]), 3, 1)
    d_values = _whole(d_values, values.shape)
    return d_values, d_offsets.reshape(offsets.shape), d_masks.reshape(masks.shape)


def _by_items(item: Callable, masks: Array, *arrays: Array, cells: Array) -> Any:
    """`item` of every image and group, some at a time."""
    numbers = math.prod(masks.shape[1:3]) * math.prod(cells.shape[1:3])
    some, count = max(1, AT_ONCE // numbers), len(arrays[0])
    if count <= some:
        return jax.vmap(item)(*arrays)
    return lax.map(lambda given: item(*given), arrays, batch_size=some)


def _matrix(window, grid, out, offsets, mask):
    """A (H, W, N) for the offsets (K, 2, N) and weights (K, N) of an image's group."""
    n, taps = np.arange(math.prod(out)), np.float32(window.taps())

    def along(axis, centres, size):
        centres = np.float32(centres)[None]
        place = centres + window.offset_scale * (taps[:, axis, None] + offsets[:, axis])
        low = jnp.floor(place)
        part, low = (place - low)[:, None], low[:, None]
        cell = np.arange(size, dtype=np.float32)[None, :, None]
        upper = jnp.where(cell == low + 1, part, 0.0)
        return jnp.where(cell == low, 1 - part, upper)

    columns = along(0, window.centres(out[1])[n % out[1]], grid[1])
    rows = along(1, window.centres(out[0])[n // out[1]], grid[0]) * mask[:, None]
    return sum(y[:, None] * x[None] for y, x in zip(rows, columns, strict=True))


def _times(matrix, v):
    """Aᵀ v for A (H, W, N) and v (H·W, c), in float32."""
    return _dot(matrix.reshape(len(v), -1).astype(v.dtype), v, ((0,), (0,)))


def _dot(x, y, contracted):
    """A product with float32 sums, and of float32 operands in float32 wherever that is not so."""
    precision = lax.Precision.HIGHEST if x.dtype == jnp.float32 else None
    return lax.dot_general(
        x, y, (contracted, ((), ())), precision=precision, preferred_element_type=jnp.float32
    )


def _items(x, groups):
    """(B, H, W, C) -> (B·G, H·W, C/G)."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height * width, groups, channels // groups)
    return jnp.swapaxes(x, 1, 2).reshape(batch * groups, height * width, -1)


def _whole(x, shape):
    """(B·G, H·W, C/G) -> (B, H, W, C), for such a shape."""
    x = x.reshape(shape[0], -1, *x.shape[1:])
    return jnp.swapaxes(x, 1, 2).reshape(shape)


def _planar(offsets, masks):
    """Offsets as (B·G, K, 2, N) and masks as (B·G, K, N)."""
    batch, height, width, groups, taps = masks.shape
    offsets = jnp.moveaxis(offsets.reshape(batch, height * width, groups, taps, 2), 1, 4)
    masks = jnp.moveaxis(masks.reshape(batch, height * width, groups, taps), 1, 3)
    return offsets.reshape(batch * groups, taps, 2, -1), masks.reshape(batch * groups, taps, -1)
