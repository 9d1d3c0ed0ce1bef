"""Images that are larger than what a network was trained on, looked at window by window.

Each function makes of a network for windows one for images: what overlaps is the mean of its
windows. The network is traced once, however many windows there are.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from m3i_jax.types import Array

# Pixels (B, H, W, C) to what is said of each of them, (B, H, W, D).
Apply = Callable[
    [Float[Array, "batch height width channels"]], Float[Array, "batch height width dim"]
]


def starts(side: int, window: int, stride: int) -> tuple[int, ...]:
    """Where windows begin along a side: 0, stride, …, the last one moved back to end with the side.

    A window that is longer than the side is as long as it.
    """
    last = max(side - window, 0)
    return (*range(0, last, stride), last)


def spread(side: int, window: int, count: int) -> tuple[int, ...]:
    """Where `count` windows begin that cover a side as evenly as whole pixels allow.

    Raises:
      ValueError: they do not cover it, or are longer than it.
    """
    free = side - window
    if free < 0 or count < 1 or count * window < side:
        raise ValueError(f"{count} windows of {window} pixels do not cover a side of {side}")
    return (0,) if free == 0 else tuple(i * free // (count - 1) for i in range(count))


def windows(apply: Apply, *, window: tuple[int, int], stride: tuple[int, int]) -> Apply:
    """A network applied to windows, sums divided by how many windows see a pixel.

    mmsegmentation's slide test (https://github.com/open-mmlab/mmsegmentation); published ones are
    512 by 341 on ADE20K (BEiT, Bao et al. 2022, https://arxiv.org/abs/2106.08254).

    Args:
      apply: of windows (B, h, w, C) -> (B, h, w, D), can be jitted.
      window: (height, width) in pixels.  stride: down and across, at most the window.

    Raises:
      ValueError: a stride leaves gaps, or is none; a network answers in another size.
    """
    if not all(0 < s <= w for s, w in zip(stride, window, strict=True)):
        raise ValueError(f"windows of {window} pixels at a stride of {stride} leave gaps")

    def whole(images):
        sides = images.shape[1:3]
        tops, lefts = (starts(*x) for x in zip(sides, window, stride, strict=True))
        return _blended(apply, images, tops, lefts, tuple(map(min, sides, window)))

    return whole


def squares(apply: Apply, *, count: int) -> Apply:
    """A network applied to squares as high as the image, which lie evenly along its width.

    MIM-Depth's test: 2 of NYU, 16 of KITTI (Xie et al. 2023, https://arxiv.org/abs/2205.13543,
    https://github.com/SwinTransformer/MIM-Depth-Estimation). Its steps are whole pixels, which
    leaves the last 9 of KITTI's 1216 columns without a prediction; here the last square ends with
    the image.

    Raises:
      ValueError: the squares do not cover the image, or it is higher than wide; a network answers
        in another size.
    """

    def whole(images):
        height, width = images.shape[1:3]
        return _blended(apply, images, (0,), spread(width, height, count), (height, height))

    return whole


def _blended(
    apply: Apply,
    images: Float[Array, "batch height width channels"],
    tops: tuple[int, ...],
    lefts: tuple[int, ...],
    window: tuple[int, int],
) -> Float32[Array, "batch height width dim"]:
    """Means of windows at every pair of a top and a left."""
    images = jnp.asarray(images)
    batch, *sides, channels = images.shape
    part = jax.ShapeDtypeStruct((batch, *window, channels), images.dtype)
    said = jax.eval_shape(apply, part)
    if said.shape[:-1] != part.shape[:-1]:
        raise ValueError(f"a network answers {said.shape} to windows of {part.shape}")

    def add(total, corner):
        at = (0, *corner, 0)
        seen = jax.lax.dynamic_slice(images, at, part.shape)
        before = jax.lax.dynamic_slice(total, at, said.shape)
        return jax.lax.dynamic_update_slice(total, before + apply(seen).astype(jnp.float32), at), 0

    corners = jnp.array([(top, left) for top in tops for left in lefts], jnp.int32)
    total = jnp.zeros((batch, *sides, said.shape[-1]), jnp.float32)
    total, _ = jax.lax.scan(add, total, (corners[:, 0], corners[:, 1]))
    seen = [_times(side, *x) for side, *x in zip(sides, (tops, lefts), window, strict=True)]
    return total / np.multiply.outer(*seen)[None, :, :, None]


def _times(side: int, begin: tuple[int, ...], window: int) -> Float32[np.ndarray, " {side}"]:
    """How many windows see each pixel along a side."""
    at = np.arange(side)[:, None] - np.array(begin)
    return ((at >= 0) & (at < window)).sum(1).astype(np.float32)
