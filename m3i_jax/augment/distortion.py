"""Photometric distortion, the colours of detection and segmentation, one draw per sample.

Liu et al. 2016 (SSD), section 2.2, https://arxiv.org/abs/1512.02325, in the order of
https://github.com/open-mmlab/mmsegmentation (`PhotoMetricDistortion`): brightness; contrast, or
else it is the last; saturation; hue. Each with probability ½.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Key, Real

from m3i_jax.augment import color
from m3i_jax.types import Array

BRIGHTER = 32 / 255  # added, at most, either way
FACTORS = (0.5, 1.5)  # of contrast and saturation
STEPS = 18  # of hue, at most, of 180 of a turn


class Distortion(NamedTuple):
    """What happens to each sample: brightness is added, the factors are multiplied by, hue turns.

    first: contrast comes before saturation and hue, not after them.
    """

    brightness: Float32[Array, " batch"]
    contrast: Float32[Array, " batch"]
    saturation: Float32[Array, " batch"]
    hue: Float32[Array, " batch"]
    first: Bool[Array, " batch"]


def draw_distortion(key: Key[Array, ""], batch: int) -> Distortion:
    """Brightness U(−32, 32) of 255, factors U(½, 3/2), hue of −18 … 17 steps of 2°; ½ of each."""
    chosen, added, factors, turned, order = jax.random.split(key, 5)
    chosen = jax.random.bernoulli(chosen, 0.5, (4, batch))
    brightness = jax.random.uniform(added, (batch,), minval=-BRIGHTER, maxval=BRIGHTER)
    contrast, saturation = jax.random.uniform(
        factors, (2, batch), minval=FACTORS[0], maxval=FACTORS[1]
    )
    hue = jax.random.randint(turned, (batch,), -STEPS, STEPS).astype(jnp.float32) / 180
    return Distortion(
        jnp.where(chosen[0], brightness, 0.0),
        jnp.where(chosen[1], contrast, 1.0),
        jnp.where(chosen[2], saturation, 1.0),
        jnp.where(chosen[3], hue, 0.0),
        jax.random.bernoulli(order, 0.5, (batch,)),
    )


def distorted(
    images: Real[Array, "batch height width 3"], drawn: Distortion
) -> Float32[Array, "batch height width 3"]:
    """(B, H, W, 3) in [0, 1], clipped behind each change, as levels of bytes are.

    With value v = max and saturation s = 1 − min / v, a channel x is v − (v − x) s' / s for another
    saturation s' = min(f s, 1).
    """
    brightness, contrast, saturation, _, first = (field[:, None, None, None] for field in drawn)
    x = jnp.clip(jnp.asarray(images, jnp.float32) + brightness, 0.0, 1.0)
    x = jnp.clip(x * jnp.where(first, contrast, 1.0), 0.0, 1.0)
    value, least = x.max(-1, keepdims=True), x.min(-1, keepdims=True)
    most = value / jnp.where(value > least, value - least, 1.0)  # 1 / s
    x = value - (value - x) * jnp.minimum(saturation, most)
    x = _turned(x, drawn.hue)
    return jnp.clip(x * jnp.where(first, 1.0, contrast), 0.0, 1.0)


def _turned(
    images: Float[Array, "batch height width 3"], turns: Float32[Array, " batch"]
) -> Float[Array, "batch height width 3"]:
    """Another hue; (B, H, W, 3), (B,) turns."""
    nothing = jnp.ones((images.shape[0], 4), jnp.float32).at[:, color.HUE].set(turns)
    order = jnp.tile(jnp.array([[color.HUE, 0, 1, 2]], jnp.int32), (images.shape[0], 1))
    return color.color_jitter(images, color.Jitter(nothing, order))
