"""Cuts of many sizes to views of one size: Pillow's resizing as two matrix products on the device.

    view = W_y · cut · W_xᵀ,   W[i, j] ∝ k((j + ½ − c_i) / s),   c_i = (i + ½) n/S,
    s = max(n/S, 1)

for a cut of n pixels and a view of S along an axis; k is the filter, s widens it where the view is
smaller (antialiasing), and rows of W sum to 1 over the pixels of the cut.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float32, Real, UInt8

from m3i_jax.types import Array


def triangle(t: Float32[Array, "*shape"]) -> Float32[Array, "*shape"]:
    """1 − |t| up to 1: bilinear."""
    return jnp.maximum(1.0 - jnp.abs(t), 0.0)


def cubic(t: Float32[Array, "*shape"]) -> Float32[Array, "*shape"]:
    """Keys' cubic with the slope −½, up to 2: bicubic."""
    t = jnp.abs(t)
    near, far = (1.5 * t - 2.5) * t * t + 1.0, ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return jnp.where(t < 1.0, near, jnp.where(t < 2.0, far, 0.0))


CANVAS = 2  # times the side of its view: a cut that is longer comes reduced to that
FILTERS: dict[str, tuple[Callable, float]] = {
    "bicubic": (cubic, 2.0),
    "bilinear": (triangle, 1.0),
}  # name -> kernel, and up to where it is not zero


def resized(
    cuts: UInt8[Array, "batch canvas canvas channels"],
    sides: Real[Array, "batch 2"],
    *,
    size: int,
    interpolation: str = "bicubic",
) -> Float32[Array, "batch {size} {size} channels"]:
    """Each cut as a view of `size` x `size`, across and then down, in whole levels after each.

    Pillow's to one level, but for tall cuts, which some of its versions resize down first: then
    one in 4000 values of a photograph is two to four levels apart, of noise more.

    Args:
      cuts: (B, C, C, 3) levels, each cut in the upper left of its canvas; the rest is not seen.
      sides: (B, 2), height and width of the cuts in pixels, from 1 to C.
      size: height and width of the views.
      interpolation: one of `FILTERS`.
    """
    kernel, reach = FILTERS[interpolation]
    canvas = cuts.shape[1]
    down, across = (
        _weights(sides[:, axis], canvas=canvas, size=size, kernel=kernel, reach=reach)
        for axis in (0, 1)
    )
    # Full float32: accelerators would multiply in bfloat16, whose steps are coarser than 8 bits.
    x = cuts.astype(jnp.float32)
    x = _levels(jnp.einsum("bjw,bhwc->bhjc", across, x, precision="highest"))
    return _levels(jnp.einsum("bih,bhjc->bijc", down, x, precision="highest"))


def views_of(
    cuts: UInt8[Array, "batch canvas canvas channels"],
    boxes: Real[Array, "batch 6"],
    *,
    interpolation: str,
) -> Float32[Array, "batch size size channels"]:
    """`resized` to half of the canvas; the sides of the cuts stand in the packed boxes."""
    canvas = cuts.shape[1]
    sides = jnp.minimum(boxes[:, 2:4], canvas)
    return resized(cuts, sides, size=canvas // CANVAS, interpolation=interpolation)


def _levels(x: Array) -> Array:
    return jnp.clip(jnp.floor(x + 0.5), 0.0, 255.0)


def _weights(
    side: Real[Array, " batch"],
    *,
    canvas: int,
    size: int,
    kernel: Callable[[Array], Array],
    reach: float,
) -> Float32[Array, "batch {size} {canvas}"]:
    """W of cuts of `side` pixels along an axis."""
    n = jnp.asarray(side, jnp.float32)[:, None, None]
    i = jax.lax.broadcasted_iota(jnp.float32, (1, size, 1), 1)
    j = jax.lax.broadcasted_iota(jnp.float32, (1, 1, canvas), 2)
    wide = jnp.maximum(n / size, 1.0)
    centre = (i + 0.5) * (n / size)
    # The pixels that are looked at, as Pillow rounds the ends of the kernel.
    first = jnp.maximum(jnp.floor(centre - reach * wide + 0.5), 0.0)
    last = jnp.minimum(jnp.floor(centre + reach * wide + 0.5), n)
    weights = jnp.where((j >= first) & (j < last), kernel((j + 0.5 - centre) / wide), 0.0)
    return weights / weights.sum(-1, keepdims=True)
