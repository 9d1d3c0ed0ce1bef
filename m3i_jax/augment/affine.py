"""Images turned, slanted and moved: the pixel at (x, y) is what was at A (x, y)."""

import jax
import jax.numpy as jnp
from jaxtyping import Float32, Real

from m3i_jax.types import Array


def rotation(
    degrees: Real[Array, " batch"], *, height: int, width: int
) -> Float32[Array, "batch 2 3"]:
    """A of a turn counterclockwise about the middle of the image."""
    turn = jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    x, y = width / 2, height / 2
    rows = [cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos]
    return jnp.stack(rows, -1).reshape(-1, 2, 3)


def affine(
    images: Real[Array, "batch height width channels"],
    matrices: Real[Array, "batch 2 3"],
    *,
    ground: tuple[float, ...],
) -> Float32[Array, "batch height width channels"]:
    """Moves each image by a matrix of its own; bicubic (a = −1, where Pillow's
    resizing has −½), as Pillow's `transform` does.

    Pixel (x, y) has its middle at (x + ½, y + ½), and shows the 4 × 4 pixels around A (x + ½,
    y + ½, 1), at the edges the outermost ones. Values are not clipped.

    Args:
      images: (B, H, W, C).
      matrices: (B, 2, 3), rows of x and of y.
      ground: C values, shown where A leads out of the image.
    """
    x = jnp.asarray(images, jnp.float32)
    height, width = x.shape[1:3]
    down, across = (jnp.arange(side, dtype=jnp.float32) + 0.5 for side in (height, width))
    a, b, c = (
        jnp.asarray(matrices, jnp.float32)[:, :, i, None, None] for i in range(3)
    )  # (B, 2, 1, 1)
    place = a * across[None, None, None, :] + b * down[None, None, :, None] + c  # (B, 2, H, W)
    side = jnp.array([width, height], jnp.float32).reshape(1, 2, 1, 1)
    inside = ((place >= 0) & (place < side)).all(1)
    first = jnp.floor(place - 0.5)
    (right, below), (j, i) = (
        jnp.moveaxis(part, 1, 0) for part in (place - 0.5 - first, first.astype(jnp.int32) - 1)
    )
    columns = [jnp.clip(j + tap, 0, width - 1) for tap in range(4)]
    rows = [jnp.clip(i + tap, 0, height - 1) for tap in range(4)]
    lines = [_cubic([_at(x, row, column) for column in columns], right) for row in rows]
    colour = jnp.array(ground, jnp.float32).reshape(1, 1, 1, -1)
    return jnp.where(inside[..., None], _cubic(lines, below), colour)


def _at(x: Array, row: Array, column: Array) -> Array:
    """The pixels (row, column) of each image."""
    return jax.vmap(lambda image, i, j: image[i, j])(x, row, column)


def _cubic(values: list[Array], d: Array) -> Array:
    """Between the second and the third of four values, d ∈ [0, 1) behind the second.

    By differences, as Pillow has it: equal values give themselves, and not a last place less.
    """
    a, b, c, e = values
    d = d[..., None]
    return b + d * (c - a + d * (2 * (a - b) + c - e + d * (b - a + e - c)))
