"""Weather: fog as a fractal of clouds, and snow that falls."""

import numpy as np
from jaxtyping import Float

from m3i_jax.evaluation.corruptions.blur import motion_blur, zoomed

Image = Float[np.ndarray, "height width 3"]
GRAY = np.array((0.299, 0.587, 0.114))  # of red, green, blue (ITU-R 601)


def fog(rng: np.random.Generator, image: Image, thickness: float, decay: float) -> Image:
    """(x + thickness·clouds)·m/(m + thickness), m the largest value of the image."""
    height, width = image.shape[:2]
    clouds = plasma(rng, max(height, width), decay)[:height, :width, None]
    most = image.max()
    return (image + thickness * clouds) * most / (most + thickness)


def plasma(rng: np.random.Generator, side: int, decay: float) -> Float[np.ndarray, "size size"]:
    """A landscape of heights from 0 to 1 by midpoint displacement (diamond-square) on a torus.

    The side is the power of two from `side` on. At each halving of the distance, points in the
    middle of four others get their mean and U(−w, w), w falling by decay² each time.
    """
    size = 1 << (side - 1).bit_length()
    heights = np.zeros((size, size))
    step, spread = size, 100.0**2
    back = lambda x, axis: x + np.roll(x, 1, axis)  # noqa: E731, with the one before
    ahead = lambda x, axis: x + np.roll(x, -1, axis)  # noqa: E731, with the one behind
    while step >= 2:
        half = step // 2
        moved = lambda total: total / 4 + rng.uniform(-spread, spread, total.shape)  # noqa: E731, B023
        corners = heights[::step, ::step]
        middles = heights[half::step, half::step] = moved(ahead(ahead(corners, 0), 1))
        heights[::step, half::step] = moved(back(middles, 0) + ahead(corners, 1))
        heights[half::step, ::step] = moved(back(middles, 1) + ahead(corners, 0))
        step, spread = half, spread / decay**2
    heights -= heights.min()
    return heights / max(heights.max(), 1e-12)


def snow(
    rng: np.random.Generator,
    image: Image,
    level: float,
    spread: float,
    zoom: float,
    least: float,
    radius: int,
    sigma: float,
    kept: float,
) -> Image:
    """Flakes that fall in streaks, over an image that is paler.

    Flakes are what of N(level, spread²), enlarged by `zoom`, is above `least`, blurred by movement
    down; they are added twice, once turned by half a turn. kept: of the image's own colours.
    """
    flakes = zoomed(rng.normal(level, spread, image.shape[:2])[..., None], zoom)
    flakes = np.clip(np.where(flakes < least, 0.0, flakes), 0.0, 1.0)
    flakes = motion_blur(rng, flakes, radius, sigma, middle=-90.0)
    pale = np.maximum(image, 1.5 * (image @ GRAY)[..., None] + 0.5)
    return kept * image + (1 - kept) * pale + flakes + flakes[::-1, ::-1]
