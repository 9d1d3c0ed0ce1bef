"""Attention inside the windows of a map: cut, cyclic shift, mask, continuous position bias.

Swin Transformer V2 (Liu et al. 2022, §3, https://arxiv.org/abs/2111.09883). Windows follow each
other in row-major order, and so do the cells of a window.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Int

from m3i_jax.build import ConfigError
from m3i_jax.nn.attend import attend, chosen, scores
from m3i_jax.nn.initial import Init
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import MAX_LOGIT_SCALE, UnitNorm, at_most
from m3i_jax.nn.observe import attended
from m3i_jax.nn.relative import relative_index
from m3i_jax.types import Array, Grid, ObserveAttention, Observed, Scores

# Added to the score of cells that only the roll or the padding brought together. Up to e^s = 30
# that leaves e^-24; heads near the limit of 100 can see across, in the official code too.
APART = -100.0
HIDDEN = 512  # width of the MLP of the position bias
STRONGEST = 16.0  # what the position bias can add to a score
PAD = -1
MOST = 2**18  # cells of a map


class Windows(NamedTuple):
    """How a map is cut.

    grid: (rows, columns) of the map.
    size: (rows, columns) of a window; a map that they do not divide is padded below and right.
    shift: how far the map is rolled up and to the left in front of the cut.
    """

    grid: Grid
    size: Grid
    shift: Grid

    @property
    def counts(self) -> Grid:
        """(rows, columns) of windows."""
        return tuple(-(-cells // size) for cells, size in zip(self.grid, self.size, strict=True))

    @property
    def padded(self) -> Grid:
        """(rows, columns) of the map with its padding."""
        return tuple(count * size for count, size in zip(self.counts, self.size, strict=True))


def fit(grid: Grid, window: int, *, shift: bool) -> Windows:
    """Windows of `window` cells a side, and with `shift` half a window of shift, w // 2.

    Along an axis where the map is not larger than the window, the window is the map, unshifted.
    """
    if grid[0] * grid[1] > MOST:
        raise ConfigError(
            f"a map of {grid[0]}x{grid[1]} cells is cut; expected at most {MOST} cells"
        )
    size = tuple(min(window, cells) for cells in grid)
    half = tuple(window // 2 if shift and cells > window else 0 for cells in grid)
    return Windows(grid, size, half)


def partition(
    x: Float[Array, "batch height width dim"], windows: Windows, *, shifted: Bool[Array, ""] | bool
) -> Float[Array, "batch windows tokens dim"]:
    """Cuts a map (B, h, w, D) into windows (B, n, t, D), padded with zeros.

    `shifted` may be traced: whether the map is rolled first.
    """
    below, right = (p - g for p, g in zip(windows.padded, windows.grid, strict=True))
    x = jnp.pad(x, ((0, 0), (0, below), (0, right), (0, 0)))
    return _cut(_rolled(x, windows, shifted, -1), windows)


def merge(
    x: Float[Array, "batch windows tokens dim"],
    windows: Windows,
    *,
    shifted: Bool[Array, ""] | bool,
) -> Float[Array, "batch height width dim"]:
    """Inverse of `partition`: (B, n, t, D) -> (B, h, w, D), without the padding."""
    (rows, columns), (height, width) = windows.counts, windows.size
    x = x.reshape(x.shape[0], rows, columns, height, width, x.shape[-1])
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape[0], *windows.padded, x.shape[-1])
    return _rolled(x, windows, shifted, 1)[:, : windows.grid[0], : windows.grid[1]]


def cells(windows: Windows) -> Int[np.ndarray, "windows tokens"]:
    """(n, t) int32: which cell of the map, in row-major order, is where; -1 = padding."""
    rows, columns = (
        (np.arange(padded) + shift) % padded
        for padded, shift in zip(windows.padded, windows.shift, strict=True)
    )
    cell = rows[:, None] * windows.grid[1] + columns[None, :]
    inside = (rows < windows.grid[0])[:, None] & (columns < windows.grid[1])[None, :]
    cell = np.where(inside, cell, PAD).astype(np.int32)
    return _cut(cell[None, :, :, None], windows)[0, :, :, 0]


def regions(windows: Windows) -> Int[np.ndarray, "windows tokens"]:
    """(n, t) int32: the piece of the map that a cell lies in; only cells of one piece may meet.

    The roll brings the first rows behind the last and the first columns behind the last: bit 1 and
    bit 0. Padding is a piece of its own.
    """
    below, right = (
        np.arange(padded) + shift >= padded
        for padded, shift in zip(windows.padded, windows.shift, strict=True)
    )
    piece = (2 * below[:, None] + right[None, :]).astype(np.int32)
    piece = _cut(piece[None, :, :, None], windows)[0, :, :, 0]
    return np.where(cells(windows) == PAD, PAD, piece)


def together(
    windows: Windows, *, shifted: Bool[Array, ""] | bool
) -> Bool[Array, "windows queries keys"] | None:
    """(n, t, t) bool: which pairs (query, key) of a window may meet; None = all of them."""
    if not any(windows.shift) and windows.padded == windows.grid:
        return None
    still = windows._replace(shift=(0, 0))
    piece = jnp.where(shifted, regions(windows), regions(still))
    return piece[:, :, None] == piece[:, None, :]


def places(
    windows: Windows, *, shifted: Bool[Array, ""] | bool
) -> tuple[Int[Array, "windows tokens"], Bool[Array, "windows tokens"] | None]:
    """Which cell of the map is where, −1 = padding, and which are no padding; None = all."""
    where = jnp.where(shifted, cells(windows), cells(windows._replace(shift=(0, 0))))
    return where, None if windows.padded == windows.grid else where != PAD


def _rolled(x, windows, shifted, direction):
    """A map (B, H, W, D), rolled if `shifted`; both rolls are static, which compiles to copies."""
    if not any(windows.shift):
        return x
    down, right = (direction * shift for shift in windows.shift)
    return jnp.where(shifted, jnp.roll(x, (down, right), (1, 2)), x)


def _cut(x, windows):
    """A padded map (B, H, W, D) of either library as (B, n, t, D)."""
    (rows, columns), (height, width) = windows.counts, windows.size
    x = x.reshape(x.shape[0], rows, height, columns, width, x.shape[-1])
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(
        x.shape[0], rows * columns, height * width, x.shape[-1]
    )


def offsets(size: Grid, reference: Grid) -> Float[np.ndarray, "pairs 2"]:
    """Log-spaced offsets between the cells of a window, ((2h-1)(2w-1), 2) float32, rows first.

        sign(u) log2(1 + |u|) / log2(8),   u = 8 Δ / (r - 1)

    In the order of `relative_index`. The side r of the `reference` is that of the window in which
    the bias was learned, so that an offset keeps its place in windows of another size.
    """
    axes = (
        8.0 * np.arange(1 - side, side) / max(learned - 1, 1)
        for side, learned in zip(size, reference, strict=True)
    )
    logs = [np.sign(u) * np.log2(1.0 + np.abs(u)) / math.log2(8.0) for u in axes]
    return np.stack(np.meshgrid(*logs, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)


class ContinuousBias(nn.Module):
    """b_qk = 16 σ(fc2(relu(fc1(log-spaced offset of q from k)))), added to the scores.

    Attributes:
      heads: of the attention.
      size: of the windows.
      reference: of the windows in which it was or is learned.
    """

    heads: int
    size: Grid
    reference: Grid
    kernel_init: Callable = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(self) -> Float[Array, "heads queries keys"]:
        """(heads, t, t) float32."""
        x = jnp.asarray(offsets(self.size, self.reference))
        x = jax.nn.relu(Linear(HIDDEN, True, self.kernel_init, name="fc1")(x))
        x = Linear(self.heads, False, self.kernel_init, name="fc2")(x)
        table = STRONGEST * jax.nn.sigmoid(x)
        index = relative_index(self.size, class_token=False)
        return jnp.take(table, index, axis=0).transpose(2, 0, 1)


class WindowAttention(nn.Module):
    """Scaled cosine attention among the cells of each window.

        softmax(e^{min(s, ln 100)} cos(q, k) + b_qk), s per head from ln 10, bias on q and v only

    The limit on s is `at_most`'s: beyond it, s can come back.
    """

    heads: int
    size: Grid
    reference: Grid
    kernel_init: Init = Init.same(nn.initializers.normal(0.02))
    report: ObserveAttention = False
    core: str = "auto"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch windows tokens dim"],
        pairs: Bool[Array, "windows queries keys"] | None,
        where: Callable[[], tuple[Array, Array | None]] | None = None,
    ) -> tuple[
        Float[Array, "batch windows tokens dim"],
        Float[Array, "batch windows heads queries keys"] | Observed | None,
    ]:
        """x (B, n, t, D) -> (B, n, t, D), and with `report` the weights (B, n, heads, q, k).

        pairs: (n, t, t) bool, which may meet; None = all.  where: makes what `places` says, for a
        function that is handed in as `report`.
        """
        q, k, v = self._project(x)
        start = nn.initializers.constant(math.log(10.0))
        logit_scale = self.param("logit_scale", start, (self.heads,), jnp.float32)
        scale = jnp.exp(at_most(logit_scale, MAX_LOGIT_SCALE)).reshape(1, 1, 1, self.heads, 1)
        # On the queries rather than on the scores, which then need not be kept in float32.
        q = (UnitNorm()(q) * scale).astype(self.dtype)
        k = UnitNorm()(k).astype(self.dtype)
        bias = ContinuousBias(self.heads, self.size, self.reference, name="cpb_mlp")()
        biases = (bias[None, None],)
        if pairs is not None:
            biases += (jnp.where(pairs, 0.0, APART)[None, :, None],)
        weights = None
        if self.report:
            told = where() if where and callable(self.report) else ()
            weights = attended(self.report, Scores(scores(1.0, q, k, biases, None), *told))
        core = chosen(self.core, plain=False, tokens=x.shape[2], width=x.shape[3], dtype=self.dtype)
        y = attend(1.0, core == "keep", q, k, v, biases, None)
        y = Linear(x.shape[-1], True, self.kernel_init.proj, self.dtype, name="proj")(y)
        return y, weights

    def _project(self, x):
        """Queries, keys and values, each (B, n, t, heads, D/heads) in `dtype`."""
        batch, count, length, width = x.shape
        qkv = Linear(3 * width, False, self.kernel_init.qkv, self.dtype, name="qkv")(x)
        zeros = nn.initializers.zeros
        q, v = (self.param(f"{i}_bias", zeros, (width,), jnp.float32) for i in "qv")
        bias = jnp.concatenate([q, jnp.zeros_like(q), v]).reshape(1, 1, 1, -1)
        qkv = (qkv.astype(jnp.float32) + bias).astype(self.dtype)
        qkv = qkv.reshape(batch, count, length, 3, self.heads, width // self.heads)
        return qkv[..., 0, :, :], qkv[..., 1, :, :], qkv[..., 2, :, :]
