"""Colour changes with torchvision's meaning, one strength per sample.

Brightness, contrast and saturation are one operation, a blend f·x + (1−f)·base clipped to [0, 1],
whose base is black, the mean grey of the image, or the grey image; hue turns the colour wheel.
Inside, channels come first: planes keep the three channels out of the vector lanes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32, Int32, Key, Real

from m3i_jax.types import Array

GRAY = (0.2989, 0.587, 0.114)  # of red, green, blue (ITU-R 601, as torchvision rounds it)
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
Planes = Float32[Array, "3 batch height width"]


class Jitter(NamedTuple):
    """What happens to each sample's colours.

    factors: (B, 4) float32, of brightness, contrast, saturation (1 = unchanged) and the hue shift
    in turns (0 = unchanged).  order: (B, 4) int32, which of the four comes first, second, ….
    """

    factors: Float32[Array, "batch 4"]
    order: Int32[Array, "batch 4"]


def draw_jitter(
    key: Key[Array, ""],
    batch: int,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.2,
    hue: float = 0.1,
) -> Jitter:
    """Strengths as torchvision draws them: U(max(0, 1−s), 1+s), U(−hue, hue), in random order."""
    if not 0.0 <= hue <= 0.5:
        raise ValueError(f"a hue shift is between 0 and 0.5 turns, not {hue}")
    key_factor, key_order = jax.random.split(key)
    spans = [(max(0.0, 1.0 - s), 1.0 + s) for s in (brightness, contrast, saturation)]
    low, high = (
        jnp.array(ends, jnp.float32)[None] for ends in zip(*spans, (-hue, hue), strict=True)
    )
    factors = low + jax.random.uniform(key_factor, (batch, 4)) * (high - low)
    order = jnp.argsort(jax.random.uniform(key_order, (batch, 4)), axis=1)
    return Jitter(factors, order.astype(jnp.int32))


def color_jitter(
    images: Real[Array, "batch height width 3"], jitter: Jitter, *, hue: bool = True
) -> Float32[Array, "batch height width 3"]:
    """Brightness, contrast, saturation and hue, in each sample's own order (B, H, W, 3).

    Every sample has blends before its hue shift and blends after it, so three blends on either
    side, each gated by its place, cover all 24 orders with a single pass through hue.

    Args:
      images: (B, H, W, 3) in [0, 1].
      jitter: strengths and orders.
      hue: False leaves hue out, whatever the shifts are (static).
    """
    order = jitter.order
    factors = jnp.take_along_axis(jitter.factors, order, axis=1)
    planes, slot = _planes(images), jnp.arange(4)[None]
    if not hue:
        return _images(_blends(planes, jnp.where(order == HUE, 1.0, factors), order))
    turn = jnp.argmax(order == HUE, axis=1)[:, None]
    before, after = (jnp.where(now, factors, 1.0) for now in (slot < turn, slot > turn))
    planes = _blends(planes, before[:, :3], order[:, :3])
    planes = _shift_hue(planes, jitter.factors[:, HUE])
    return _images(_blends(planes, after[:, 1:], order[:, 1:]))


def grayscale(
    images: Real[Array, "batch height width 3"],
) -> Float32[Array, "batch height width 3"]:
    """Grey in all three channels: .2989 R + .587 G + .114 B; (B, H, W, 3)."""
    planes = _planes(images)
    return _images(jnp.broadcast_to(_gray(planes)[None], planes.shape))


def solarize(
    images: Float[Array, "*shape"], *, threshold: float = 128 / 255
) -> Float[Array, "*shape"]:
    """Inverts pixels at or above the threshold (PIL's 128 of 255); any shape, values in [0, 1]."""
    return jnp.where(images >= threshold, 1.0 - images, images)


def _planes(images: Real[Array, "batch height width 3"]) -> Planes:
    return jnp.moveaxis(jnp.asarray(images, jnp.float32), -1, 0)


def _images(
    planes: Planes,
) -> Float32[Array, "batch height width 3"]:
    return jnp.moveaxis(planes, 0, -1)


def _gray(planes: Planes) -> Float32[Array, "batch height width"]:
    return GRAY[0] * planes[0] + GRAY[1] * planes[1] + GRAY[2] * planes[2]


def _blends(
    planes: Planes,
    factors: Float32[Array, "batch blends"],
    ops: Int32[Array, "batch blends"],
) -> Planes:
    """Blends one after the other, those with factor 1 changing nothing; (3, B, H, W), (B, n) x 2.

    A loop, because unrolled XLA fuses each blend into the next, and computes the whole chain
    again for each of its many readers.
    """
    slots = factors.T, ops.T
    planes, _ = jax.lax.scan(lambda planes, slot: (_blend(planes, *slot), None), planes, slots)
    return planes


def _blend(
    planes: Planes,
    factor: Float32[Array, " batch"],
    op: Int32[Array, " batch"],
) -> Planes:
    """clip(f·x + (1−f)·base), each sample by its own blend; (3, B, H, W), (B,), (B,)."""
    gray = _gray(planes)
    mean = gray.mean((1, 2), keepdims=True)
    f, op = factor[:, None, None], op[:, None, None]
    base = jnp.where(op == SATURATION, gray, jnp.where(op == CONTRAST, mean, 0.0))
    return jnp.clip(f[None] * planes + ((1.0 - f) * base)[None], 0.0, 1.0)


def _shift_hue(planes: Planes, shift: Float32[Array, " batch"]) -> Planes:
    """Turns the hue of HSV by `shift` (B,) turns; (3, B, H, W).

    With value v, chroma d = max − min and hue h in sixths of a turn, each channel is
    v − d·clip(min(k, 4−k), 0, 1) with k = (n + h) mod 6 and n = 5, 3, 1 for red, green, blue.
    """
    r, g, b = planes
    value = jnp.maximum(jnp.maximum(r, g), b)
    chroma = value - jnp.minimum(jnp.minimum(r, g), b)
    scale = 1.0 / jnp.where(chroma > 0, chroma, 1.0)
    # Ties go to red, then green, as in colorsys; with no chroma every hue gives the same grey.
    sector = jnp.where(value == g, 2.0 + (b - r) * scale, 4.0 + (r - g) * scale)
    sector = jnp.where(value == r, (g - b) * scale, sector)
    sector = sector + 6.0 * shift[:, None, None]

    def channel(n):
        k = (n + sector) % 6.0
        return value - chroma * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)

    turned = jnp.stack([channel(5.0), channel(3.0), channel(1.0)])
    # Through HSV and back is not exact; no shift is.
    return jnp.where((shift == 0.0)[None, :, None, None], planes, turned)
