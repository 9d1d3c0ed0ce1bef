"""Sine-cosine position codes, absolute and relative between two views.

SiameseIM (Tao et al. 2023, https://arxiv.org/abs/2206.01204); docs/methods.md#two-views.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from m3i_jax.geometry import boxes
from m3i_jax.types import Array, Box, Grid


def sincos(grid: Grid, dim: int) -> Float32[Array, "tokens {dim}"]:
    """Codes of all cells of a grid, row-major: (h·w, dim) float32, fixed.

    The first half codes the row, the second the column, each as [sin(pos·ω), cos(pos·ω)] with
    ω_k = 10000^(−k/(dim/4)). MAE's table has the halves swapped.

    Raises:
      ValueError: dim is not a multiple of 4.
    """
    rows, columns = (jnp.arange(n, dtype=jnp.float32) for n in grid)
    return _on_grid(rows[None], columns[None], dim)[0]


def sincos_at(
    rows: Float[Array, "*positions"], columns: Float[Array, "*positions"], dim: int
) -> Float32[Array, "*positions {dim}"]:
    """Codes of any positions, in token units: (...,) and (...,) -> (..., dim) float32."""
    half = _half(dim)
    return jnp.concatenate([_code(rows, half), _code(columns, half)], axis=-1)


def relative_sincos(
    source_box: Box | Float[Array, "batch 6"],
    target_box: Box | Float[Array, "batch 6"],
    grid: Grid,
    dim: int,
    *,
    source_grid: Grid | None = None,
) -> Float32[Array, "batch tokens 2*{dim}"]:
    """Codes of the target's cells as seen from the source view: (B, h·w, 2·dim) float32.

    [sin rω, cos rω, sin cω, cos cω, sin(10 ln s_h ω), cos(·), sin(10 ln s_w ω), cos(·)], each
    dim/4 wide; (r, c) as in `boxes.target_tokens`, the scales constant over cells. The first half
    is `sincos(grid, dim)` where the boxes are the same.

    Args:
      source_box, target_box: boxes of one image, as `Box` or packed (B, 6).
      grid: (rows, columns) of the target's cells.
      dim: width of an absolute code, a multiple of 4.
      source_grid: grid of the source's tokens, whose spacing is the unit; the same by default.
    """
    to = boxes.relation(source_box, target_box)
    r, c = boxes.target_tokens(source_box, target_box, grid, source_grid=source_grid)
    place = _on_grid(r, c, dim)
    scale = sincos_at(10.0 * jnp.log(to.height), 10.0 * jnp.log(to.width), dim)
    return jnp.concatenate([place, jnp.broadcast_to(scale[:, None], place.shape)], axis=-1)


def _half(dim: int) -> int:
    if dim % 4:
        raise ValueError(
            f"a position code is a multiple of 4 wide (sine, cosine, 2 axes), not {dim}"
        )
    return dim // 2


def _code(position: Float[Array, "*positions"], width: int) -> Float32[Array, "*positions {width}"]:
    """[sin(pos·ω), cos(pos·ω)]: (...,) -> (..., width). The ω are rounded once, from float64."""
    omega = np.float32(10000.0 ** (-np.arange(width // 2) / (width // 2)))
    position = jnp.asarray(position, jnp.float32)[..., None]
    angle = position * omega.reshape((1,) * (position.ndim - 1) + (-1,))
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def _on_grid(
    rows: Float32[Array, "batch rows"], columns: Float32[Array, "batch columns"], dim: int
) -> Float32[Array, "batch rows*columns {dim}"]:
    """Codes of a product grid: (B, h), (B, w) -> (B, h·w, dim); each axis is coded once."""
    half = _half(dim)
    (b, h), w = rows.shape, columns.shape[1]
    row, column = _code(rows, half)[:, :, None], _code(columns, half)[:, None]
    pair = [jnp.broadcast_to(x, (b, h, w, half)) for x in (row, column)]
    return jnp.concatenate(pair, axis=-1).reshape(b, h * w, dim)
