"""Gaussian blur with one width per sample, as two banded matrix products."""

import math

import jax.numpy as jnp
from jaxtyping import Float32, Real

from m3i_jax.types import Array


def radius(side: int, *, widest: float = 0.0) -> int:
    """Radius of the kernel: a twentieth of the image side or 3σ of the widest blur, at least 1.

    SimCLR's kernel is a tenth of the image wide: 23 pixels at 224, so radius 11; 10 at 192, 3 at
    64, 2 at 32, 1 up to 29. Small crops need more for the same σ: 6 pixels for σ = 2.
    """
    return max(1, min(max(round(side / 20), math.ceil(3 * widest)), side - 1))


def gaussian_blur(
    images: Real[Array, "batch height width channels"],
    sigma: Real[Array, " batch"],
    *,
    widest: float = 0.0,
) -> Float32[Array, "batch height width channels"]:
    """Blurs each image by a Gaussian of its own width, reflecting at the edges.

    Weights exp(−t²/2σ²) for |t| ≤ radius(side), normalised to sum 1, along rows and columns. A
    width of 0 leaves the image as it is.

    Args:
      images: (B, H, W, C).
      sigma: (B,), standard deviations in pixels.
      widest: the largest of them that there can be (static); 0 leaves the radius to the side.
    """
    x = jnp.asarray(images, jnp.float32)
    down, across = (_band(sigma, side, radius(side, widest=widest)) for side in x.shape[1:3])
    # Full float32: accelerators would multiply in bfloat16, whose steps are coarser than 8 bits.
    x = jnp.einsum("bih,bhwc->biwc", down, x, precision="highest")
    return jnp.einsum("bjw,biwc->bijc", across, x, precision="highest")


def _band(
    sigma: Real[Array, " batch"], side: int, reach: int
) -> Float32[Array, "batch {side} {side}"]:
    """Blur along one axis as a matrix: (B,) -> (B, side, side), rows summing to 1.

    Pixel i takes weight t from pixel i ± t, mirrored at the ends (… 2 1 | 0 1 2 …): j may be
    reached directly, over the start (i + j = t) or over the end (2(n−1) − i − j = t).
    """
    if side == 1:
        return jnp.ones((sigma.shape[0], 1, 1), jnp.float32)
    t = jnp.arange(reach + 1)[:, None, None]
    # Below a tenth of a pixel the first weight is under 1e-21, so this also stands for width 0.
    width = jnp.maximum(jnp.asarray(sigma, jnp.float32), 0.1)[:, None]
    weights = jnp.exp(-0.5 * jnp.square(t.reshape(1, -1).astype(jnp.float32) / width))
    weights = weights / (2.0 * weights.sum(1, keepdims=True) - weights[:, :1])
    i, j = jnp.arange(side)[None, :, None], jnp.arange(side)[None, None]
    direct = abs(i - j) == t
    over_start = (i + j == t) & (j > 0)
    over_end = (2 * (side - 1) - i - j == t) & (j < side - 1)
    # Which weight goes where is fixed; only the reach + 1 weights differ between samples.
    paths = sum(path.astype(jnp.float32) for path in (direct, over_start, over_end))
    band = jnp.matmul(weights, paths.reshape(t.size, side * side), precision="highest")
    return band.reshape(-1, side, side)
