"""Histograms of oriented gradients: how much each direction of edges weighs in each cell.

Dalal & Triggs 2005, https://doi.org/10.1109/CVPR.2005.177, in the form of MaskFeat (Wei et al.
2022, https://arxiv.org/abs/2112.09133): no blocks of cells, whole votes.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int32

from m3i_jax import geometry, normalize
from m3i_jax.types import Array

BINS = 9  # of half a turn: an edge and its opposite are one

# A derivative along one axis, smoothed along the other (Sobel).
SLOPE, SMOOTH = np.float32([1, 0, -1]), np.float32([1, 2, 1])
# What rounding leaves of equal neighbours; a level of 255 is 0.017. Its sign would choose the bin.
NOTHING = 1e-5


def hog(
    images: Float[Array, "batch height width channels"], *, patch: int, cell: int = 8
) -> Float32[Array, "batch tokens dim"]:
    """Histograms of the cells of each patch: (B, H, W, C) -> (B, h·w, C·9·(patch/cell)²).

    A pixel votes for the bin of its direction, ⌊9 atan2(g_x, g_y)/π⌋ mod 9, with the length of its
    gradient (Sobel, each channel by itself, edges mirrored); the 9 sums of a cell have length 1, or
    are 0 where nothing changes. Channels, then bins, then cells in rows (docs/methods.md#maskfeat).

    Raises:
      ValueError: patches are not made of whole cells.
    """
    if cell < 1 or patch % cell:
        raise ValueError(f"a patch of {patch} pixels is not made of whole cells of {cell}")
    lengths, bins = _edges(jnp.asarray(images, jnp.float32))
    chosen = jax.nn.one_hot(bins, BINS, dtype=jnp.float32)
    votes = chosen * lengths[..., None]
    # (B, H, W, C, 9) -> (B, H/c, c, W/c, c, C, 9) -> (B, H/c, W/c, C, 9)
    b, height, width, channels, _ = votes.shape
    sums = votes.reshape(b, height // cell, cell, width // cell, cell, channels, BINS).sum((2, 4))
    cells = normalize.unit(sums).reshape(b, height // cell, width // cell, channels * BINS)
    # (B, h·w, k, k, C·9), the cells of a patch first -> last
    tokens = geometry.patchify(cells, patch // cell)
    tokens = tokens.reshape(*tokens.shape[:2], (patch // cell) ** 2, channels * BINS)
    return tokens.swapaxes(2, 3).reshape(*tokens.shape[:2], -1)


def _edges(
    images: Float32[Array, "batch height width channels"],
) -> tuple[
    Float32[Array, "batch height width channels"], Int32[Array, "batch height width channels"]
]:
    """Lengths of the gradients, and the bins of their directions."""
    across = _along(_along(images, SLOPE, 2), SMOOTH, 1)
    down = _along(_along(images, SLOPE, 1), SMOOTH, 2)
    across, down = (jnp.where(jnp.abs(g) < NOTHING, 0.0, g) for g in (across, down))
    phase = jnp.arctan2(across, down) / np.float32(np.pi) * BINS
    return jnp.hypot(across, down), jnp.floor(phase).astype(jnp.int32) % BINS


def _along(
    x: Float32[Array, "batch height width channels"], taps: np.ndarray, axis: int
) -> Float32[Array, "batch height width channels"]:
    """Three taps along an axis, whose ends are mirrored."""
    size = x.shape[axis]
    wide = jnp.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(4)], mode="reflect")
    at = lambda start: jax.lax.slice_in_dim(wide, start, start + size, axis=axis)  # noqa: E731
    return sum(float(tap) * at(i) for i, tap in enumerate(taps) if tap)
