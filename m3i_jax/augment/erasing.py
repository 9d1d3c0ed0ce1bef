"""Random erasing: a rectangle of an image is replaced by noise.

Zhong et al. 2020, https://arxiv.org/abs/1708.04896.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float32, Key, Real

from m3i_jax.augment.gating import ByRows, at_once, only
from m3i_jax.types import Array

AREA = (0.02, 1 / 3)  # of the rectangle, as a share of the image's
ASPECT = (0.3, 1 / 0.3)  # height / width
TRIES = 10


def rectangles(
    key: Key[Array, ""],
    batch: int,
    height: int,
    width: int,
    *,
    area: tuple = AREA,
    aspect: tuple = ASPECT,
) -> Bool[Array, "{batch} {height} {width}"]:
    """One random rectangle for each of `batch` images: (B, H, W) bool, True inside.

    Sides √(a·r), √(a/r) rounded, a ~ U(area)·H·W, log r ~ U(log aspect), until both are shorter
    than the image's, ten times at most; the place is uniform. None where none of ten is.
    """
    key_area, key_aspect, key_top, key_left = jax.random.split(key, 4)
    between = lambda key, low, high: jax.random.uniform(  # noqa: E731
        key, (batch, TRIES), minval=low, maxval=high
    )
    size = between(key_area, *area) * (height * width)
    ratio = jnp.exp(between(key_aspect, math.log(aspect[0]), math.log(aspect[1])))
    tall, wide = jnp.round(jnp.sqrt(size * ratio)), jnp.round(jnp.sqrt(size / ratio))
    fits = (tall < height) & (wide < width)
    first = jnp.argmax(fits, axis=1)[:, None]

    def line(key, sides, length):
        side = jnp.take_along_axis(sides, first, axis=1).astype(jnp.int32)
        start = jax.random.randint(key, (batch, 1), 0, jnp.maximum(length - side, 0) + 1)
        pixel = jnp.arange(length, dtype=jnp.int32)[None]
        return (pixel >= start) & (pixel < start + side)

    rows, columns = line(key_top, tall, height), line(key_left, wide, width)
    return rows[:, :, None] & columns[:, None] & fits.any(1)[:, None, None]


def random_erasing(
    key: Key[Array, ""],
    images: Real[Array, "batch height width channels"],
    *,
    probability: float = 0.25,
    area: tuple = AREA,
    aspect: tuple = ASPECT,
    by_rows: ByRows = at_once,
) -> Float32[Array, "batch height width channels"]:
    """Noise N(0, 1) in each value of a rectangle, in a random share of the images (timm's "pixel").

    Images are (B, H, W, C), normalised; see `rectangles`. Noise is drawn for the chosen ones alone,
    by_rows: see `gating.only`.
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"the probability of erasing is between 0 and 1, not {probability}")
    x = jnp.asarray(images, jnp.float32)
    if not probability:
        return x
    batch, height, width, _ = x.shape
    key_chosen, key_place, key_noise = jax.random.split(key, 3)
    chosen = jax.random.bernoulli(key_chosen, float(probability), (batch,))
    inside = rectangles(key_place, batch, height, width, area=area, aspect=aspect)
    keys, kind = jax.random.split(key_noise, batch), jax.random.key_impl(key)

    def noise(key):
        return jax.random.normal(jax.random.wrap_key_data(key, impl=kind), x.shape[1:])

    def erased(x, inside, keys):
        return jnp.where(inside[..., None], jax.vmap(noise)(keys), x)

    return only(chosen, erased, x, inside, jax.random.key_data(keys), by_rows=by_rows)
