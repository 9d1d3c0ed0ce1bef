"""DCNv3, the deformable convolution of InternImage, as a sum over rows of the map of values.

`gathered` is the same sum at places that are said one by one: what deformable attention is made of.

A point is read at 36 (tap, corner) pairs. Each pair is one gather of rows of C/G channels, fused
with its multiply-add, and the backward pass computes the places again: nothing of the size
(points, 36, C/G) is ever stored. The map is padded by two cells of zeros and places are clamped
into it, so that a corner outside reads zero, and its gradient is zero, without a mask.
On TPUs small maps are read by `deformable_products`.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int

from m3i_jax.nn import deformable_products
from m3i_jax.parallel.constrain import by_rows
from m3i_jax.types import Array, Grid

PAD = 2  # both corners of a clamped place lie on it


class Window(NamedTuple):
    """Where the taps of a convolution are."""

    kernel: int
    stride: int
    padding: int
    dilation: int
    offset_scale: float

    def out(self, grid: Grid) -> Grid:
        """(rows, columns) of the result for a map of `grid`."""
        reach = self.dilation * (self.kernel - 1) + 1
        height, width = ((n + 2 * self.padding - reach) // self.stride + 1 for n in grid)
        return height, width

    def taps(self) -> Int[np.ndarray, "taps 2"]:
        """(K, 2) of [x, y] from the centre, x-major: (-1, -1), (-1, 0), (-1, 1), (0, -1), ..."""
        line = self.dilation * np.arange(self.kernel) - self._half()
        return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)

    def centres(self, count: int) -> Float[np.ndarray, " count"] | Int[np.ndarray, " count"]:
        """(count,) centres of the windows along one side of the map."""
        return self.stride * np.arange(count) - self.padding + self._half()

    def _half(self) -> int:
        return self.dilation * (self.kernel - 1) // 2


class Anywhere(NamedTuple):
    """Taps whose offsets are places: a window that is nowhere by itself."""

    count: int
    offset_scale: float = 1.0

    def taps(self) -> Int[np.ndarray, "taps 2"]:
        """(K, 2) zeros."""
        return np.zeros((self.count, 2), int)

    def centres(self, count: int) -> Int[np.ndarray, " count"]:
        """(count,) zeros."""
        return np.zeros(count, int)


def dcnv3(
    values: Float[Array, "batch height width channels"],
    offsets: Float[Array, "batch rows columns places"],
    masks: Float[Array, "batch rows columns taps"],
    *,
    kernel: int = 3,
    stride: int = 1,
    padding: int = 1,
    dilation: int = 1,
    offset_scale: float = 1.0,
) -> Float[Array, "batch rows columns channels"]:
    """Deformable convolution, y_g(p) = Σ_k a_gk(p) v_g(p + s (r_k + Δ_gk(p))).

    v is read bilinearly and is zero outside the map. Taps r_k are in x-major order. Reverse-mode
    gradients of all three arguments. Places, weights and sums are float32; the gradient of
    `values` is a sum of scattered rows, and on a GPU the order of its terms, hence its last bits,
    differ from run to run. Wang et al. 2023, Eq. 2, https://arxiv.org/abs/2211.05778.

    Args:
      values: (B, H, W, C) in any float dtype.
      offsets: (B, H', W', G, K, 2) of [x, y] in cells, K = kernel².
      masks: (B, H', W', G, K), the weights a.
      kernel, stride, padding, dilation: as of a convolution; they give H' and W'.
      offset_scale: s, of the grid of taps and of the offsets alike.

    Returns:
      (B, H', W', C) in the dtype of `values`.
    """
    window = Window(kernel, stride, padding, dilation, offset_scale)
    batch, height, width, channels = values.shape
    want = (batch, *window.out((height, width)), *masks.shape[3:4], kernel**2)
    if masks.shape != want or offsets.shape != (*want, 2) or channels % want[3]:
        raise ValueError(
            f"dcnv3: for values {values.shape} and kernel {kernel}, stride {stride}, padding "
            f"{padding}, dilation {dilation}, masks {masks.shape} should be {want}, offsets "
            f"{offsets.shape} {(*want, 2)}, and the groups should divide {channels} channels"
        )
    return _dcnv3(window, values, offsets.astype(jnp.float32), masks.astype(jnp.float32))


def gathered(
    values: Float[Array, "batch height width channels"],
    places: Float[Array, "batch queries heads taps 2"],
    weights: Float[Array, "batch queries heads taps"],
) -> Float[Array, "batch queries channels"]:
    """y_g(q) = Σ_k w_gk(q) v_g(p_gk(q)), v read bilinearly, and zero outside the map.

    Gradients and precision as of `dcnv3`. Zhu et al. 2021, Eq. 2, of one level,
    https://arxiv.org/abs/2010.04159.

    Args:
      values: (B, H, W, C) in any float dtype.
      places: (B, Q, G, K, 2) of [x, y] in cells; the centre of the first cell is (0, 0).
      weights: (B, Q, G, K).

    Returns:
      (B, Q, C) in the dtype of `values`, channels of a group side by side.
    """
    batch, *_, channels = values.shape
    if places.shape != (*weights.shape, 2) or len(weights) != batch or channels % weights.shape[2]:
        raise ValueError(
            f"gathered: for weights {weights.shape}, places {places.shape} should be "
            f"{(*weights.shape, 2)}, and values {values.shape} of as many rows, with channels that "
            f"{weights.shape[2]} groups divide"
        )
    window = Anywhere(weights.shape[3])
    places, weights = (x.astype(jnp.float32)[:, :, None] for x in (places, weights))
    return _dcnv3(window, values, places, weights)[:, :, 0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _dcnv3(window, values, offsets, masks):
    products = functools.partial(deformable_products.forward, window)
    return _over_batch(functools.partial(_gather, window), products, values, offsets, masks)


def _dcnv3_forward(window, values, offsets, masks):
    return _dcnv3(window, values, offsets, masks), (values, offsets, masks)


def _dcnv3_backward(window, saved, g):
    products = functools.partial(deformable_products.backward, window)
    return _over_batch(functools.partial(_scatter, window), products, *saved, g)


_dcnv3.defvjp(_dcnv3_forward, _dcnv3_backward)


def _over_batch(sample: Callable, products: Callable, *arrays: Array) -> Any:
    """`sample(*rows, unroll=...)` for every row of the batch, on each device for its own rows.

    A CPU takes the rows in turn, as one of them fits its cache. An accelerator takes all at once
    and is given the sum over the taps as one kernel; a TPU, which has no fast way to rows here and
    there, takes `products(*arrays)` of maps that are small enough. Left to the compiler, the
    scattered sum was split over a second axis of the mesh, and came out wrong (jaxlib 0.10.2).
    """
    values, _, masks, *_ = arrays
    looped = functools.partial(sample, unroll=False)
    small = deformable_products.fits(values.shape[1:3], masks.shape[1:3])

    def rows(*arrays):
        return lax.platform_dependent(
            *arrays,
            cpu=lambda *xs: lax.map(lambda x: looped(*x), xs),
            default=jax.vmap(functools.partial(sample, unroll=True)),
            **({"tpu": products} if small else {}),
        )

    return by_rows(rows, *arrays)


def _gather(window, values, offsets, masks, *, unroll):
    """The result (H', W', C) for one sample."""
    table = _table(values, masks.shape[2])
    places = _places(window, values.shape[:2], offsets, masks)

    def tap(k, total):
        corners = zip(places.corners, places.weights[k], strict=True)
        return total + sum(_rows(table, places.row[k] + c) * w[:, None] for c, w in corners)

    start = jnp.zeros((places.row.shape[1], table.shape[1]), _wide(table))
    total = lax.fori_loop(0, len(places.row), tap, start, unroll=unroll)
    return total.astype(values.dtype).reshape(*masks.shape[:2], -1)


def _scatter(window, values, offsets, masks, g, *, unroll):
    """Gradients of values, offsets and masks of one sample for the cotangent g (H', W', C)."""
    table = _table(values, masks.shape[2])
    places = _places(window, values.shape[:2], offsets, masks)
    g = g.reshape(-1, table.shape[1]).astype(_wide(table))
    corners = jnp.asarray(places.corners, jnp.int32)
    weights = places.weights.reshape(-1, len(g))

    def add(pair, grad):
        row = places.row[pair // 4] + corners[pair % 4]
        return grad.at[row].add(g * weights[pair][:, None], mode="promise_in_bounds")

    def dot(_, pair):
        row = places.row[pair // 4] + corners[pair % 4]
        return None, (_rows(table, row) * g).sum(-1)

    grad = lax.fori_loop(0, len(weights), add, jnp.zeros(table.shape, g.dtype))
    _, dots = lax.scan(dot, None, jnp.arange(len(weights)), unroll=unroll)
    d_offsets, d_masks = _weight_gradients(window, places, dots)
    height, width, channels = values.shape
    grad = grad.reshape(height + 2 * PAD, width + 2 * PAD, channels)
    return (
        grad[PAD:-PAD, PAD:-PAD].astype(values.dtype),
        jnp.moveaxis(d_offsets, 2, 0).reshape(offsets.shape),
        d_masks.T.reshape(masks.shape),
    )


class _Places(NamedTuple):
    """Where the N = H'·W'·G points of a sample read the table; planar, for vectors along N.

    row: (K, N) int32, the upper left corner.  corners: how far on the four corners are.
    weights: (K, 4, N), bilinear weights times masks.  x, y: (K, N), fractions of a cell.
    mask: (K, N).
    """

    row: Array
    corners: tuple[int, int, int, int]
    weights: Array
    x: Array
    y: Array
    mask: Array


def _places(window, grid, offsets, masks):
    """Places for offsets (H', W', G, K, 2) and masks (H', W', G, K) on a map of `grid`."""
    height, width, groups, taps = masks.shape
    n = np.arange(height * width * groups)
    offsets = jnp.moveaxis(offsets.reshape(-1, taps, 2), 0, 2)
    mask = masks.reshape(-1, taps).T

    def along(axis, centres, size):
        tap = np.float32(window.taps()[:, axis, None])
        place = jnp.asarray(centres, jnp.float32) + window.offset_scale * (tap + offsets[:, axis])
        low = jnp.floor(place)
        # Clamped as integers: whatever a diverging run may have for an offset, rows exist.
        return jnp.clip(low.astype(jnp.int32), -PAD, size) + PAD, place - low

    column, x = along(0, window.centres(width)[None, n // groups % width], grid[1])
    line, y = along(1, window.centres(height)[None, n // (groups * width)], grid[0])
    wide = grid[1] + 2 * PAD
    row = (line * wide + column) * groups + jnp.asarray(n % groups, jnp.int32)[None]
    weights = (1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x
    weights = jnp.stack(weights, 1) * mask[:, None]
    return _Places(row, (0, groups, wide * groups, (wide + 1) * groups), weights, x, y, mask)


def _weight_gradients(window, places, dots):
    """Gradients (K, 2, N), (K, N) of offsets and masks; dots (4K, N): g times rows of corners."""
    x, y, mask = places.x, places.y, places.mask
    a, b, c, d = jnp.moveaxis(dots.reshape(-1, 4, dots.shape[1]), 1, 0)
    top, bottom = a + x * (b - a), c + x * (d - c)
    grads = jnp.stack([(b - a) + y * ((d - c) - (b - a)), bottom - top], 1)
    return window.offset_scale * mask[:, None] * grads, top + y * (bottom - top)


def _table(values, groups):
    """(H, W, C) -> ((H + 2 PAD)·(W + 2 PAD)·G, C/G), a row for each cell and group."""
    padded = jnp.pad(values, ((PAD, PAD), (PAD, PAD), (0, 0)))
    return padded.reshape(-1, values.shape[2] // groups)


def _rows(table, index):
    return table.at[index].get(mode="promise_in_bounds")


def _wide(x):
    return jnp.promote_types(x.dtype, jnp.float32)
