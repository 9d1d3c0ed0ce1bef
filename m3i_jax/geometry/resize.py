"""Maps at another size: drawn between the centres of cells, or averaged in bins."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from m3i_jax.types import Array, Grid


def bilinear(
    maps: Float[Array, "batch rows columns dim"], grid: Grid
) -> Float[Array, "batch _rows _columns dim"]:
    """(B, H, W, C) -> (B, *grid, C) float32, linear between the centres of cells.

    Cell i of `to` is at (i + ½) size/to − ½; edges are repeated, and nothing is smoothed where the
    grid becomes coarser: `interpolate(mode="bilinear", align_corners=False)` of PyTorch.
    """
    shape = (maps.shape[0], *grid, maps.shape[-1])
    return jax.image.resize(maps.astype(jnp.float32), shape, "bilinear", antialias=False)


def adaptive_mean(
    maps: Float[Array, "batch rows columns dim"], grid: Grid
) -> Float[Array, "batch _rows _columns dim"]:
    """(B, H, W, C) -> (B, *grid, C) float32, means of bins that may share a row of cells.

    Bin i of `to` is of the cells ⌊i·size/to⌋ to ⌈(i + 1)·size/to⌉ − 1: `AdaptiveAvgPool2d` of
    PyTorch, the bins of a pyramid (Zhao et al. 2017, https://arxiv.org/abs/1612.01105).
    """
    sizes = maps.shape[1:3]
    rows, columns = (jnp.asarray(bins(n, to)) for n, to in zip(sizes, grid, strict=True))
    maps = maps.astype(jnp.float32)
    return jnp.einsum("ih,jw,bhwc->bijc", rows, columns, maps, precision="highest")


def bins(size: int, to: int) -> Float[np.ndarray, "to size"]:
    """R (to, size) float32, whose rows average the cells of a bin."""
    first = np.arange(to) * size // to
    end = -(-(np.arange(to) + 1) * size // to)
    cell = np.arange(size)
    inside = (first[:, None] <= cell) & (cell < end[:, None])
    return np.float32(inside / inside.sum(1, keepdims=True))
