"""Bicubic resampling of tables on a grid, as PyTorch does it: a = −¾, where JAX has −½.

With smoothing PyTorch has −½, too, as Pillow has.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from m3i_jax.types import Array, Grid

# Keys' cubic kernel: PyTorch and OpenCV take -0.75, jax.image takes -0.5.
SHARPNESS = -0.75
SMOOTH = -0.5


def resample(
    table: Float[Array, "rows columns dim"], grid: Grid, *, smooth: bool = False
) -> Float[Array, "height width dim"]:
    """A table (h, w, D) on another grid, (h', w', D) float32; on its own grid it is unchanged.

    y = R_h x R_w^T with cubic weights of a = -0.75, centres of cells aligned, edges repeated, and
    no smoothing where the grid becomes coarser: how MSN and MAE move position tables to images of
    another size, and DINO but for the 0.1 that it adds to the new sides (docs/methods.md#dino). Or
    with smoothing: DINOv2 with registers, timm.
    """
    weights = smooth_weights if smooth else cubic_weights
    rows, columns = (
        jnp.asarray(weights(size, to), jnp.float32)
        for size, to in zip(table.shape, grid, strict=False)
    )
    table = table.astype(jnp.float32)
    return jnp.einsum("ih,jw,hwd->ijd", rows, columns, table, precision="highest")


def cubic_weights(size: int, to: int) -> Float[np.ndarray, "to size"]:
    """R (to, size) float64, rows sum to 1: `to` samples at (i + ½) size/to - ½ of `size` cells."""
    place = (np.arange(to) + 0.5) * size / to - 0.5
    first = np.floor(place).astype(int)
    weights = np.zeros((to, size))
    for tap in range(-1, 3):
        cell = np.clip(first + tap, 0, size - 1)
        np.add.at(weights, (np.arange(to), cell), _kernel(np.abs(place - first - tap)))
    return weights


def smooth_weights(size: int, to: int) -> Float[np.ndarray, "to size"]:
    """The same with the kernel of a = -0.5 as wide as the coarser cells, cut off at the edges."""
    if size == to:
        return np.eye(size)
    place = (np.arange(to) + 0.5) * size / to - 0.5
    away = np.abs(np.arange(size) - place[:, None]) / max(size / to, 1.0)
    weights = _kernel(away, SMOOTH)
    return weights / weights.sum(1, keepdims=True)


def _kernel(t, a=SHARPNESS):
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))
