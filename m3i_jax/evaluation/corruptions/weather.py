"""Weather: fog as a fractal of clouds, snow that falls, and what wheels throw at a lens."""

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float

from m3i_jax.evaluation.corruptions.blur import gaussian_blur, motion_blur, zoomed

Image = Float[np.ndarray, "height width 3"]
WATER = np.array((175, 238, 238)) / 255  # pale turquoise
MUD = np.array((63, 42, 20)) / 255  # brown
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # light from the lower right
DEEP, SHARE = 20, 0.8  # pixels from a drop's rim at which it is as thick as it gets; least of mud
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


def spatter(
    rng: np.random.Generator,
    image: Image,
    level: float,
    spread: float,
    sigma: float,
    least: float,
    strength: float,
    mud: int,
) -> Image:
    """Drops of water or of mud on the lens.

    Drops are what of N(level, spread²), blurred by `sigma`, is at least `least`. Water adds its
    colour times strength·m, m from 0 to 1 the drop times how thick it looks; mud lies over the
    image where its blur by `strength` is .8 or more.
    """
    liquid = gaussian_blur(None, rng.normal(level, spread, image.shape[:2])[..., None], sigma)
    liquid = np.where(liquid < least, 0.0, liquid)
    if mud:
        cover = gaussian_blur(None, (liquid > least) * 1.0, strength)
        cover = np.where(cover < SHARE, 0.0, cover)
        return image * (1 - cover) + MUD * cover
    thick = liquid * _thickness(liquid[..., 0] > 0)[..., None]
    return image + strength * thick / max(thick.max(), 1e-12) * WATER


def _thickness(drops: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """How thick drops look, 0 to 255: the distance from their rims, equalised, in relief.

    A rim is a pixel of a drop with one beside it that is none.
    """
    rims = drops & ~scipy.ndimage.binary_erosion(drops, border_value=1)
    if not rims.any():
        return np.ones(drops.shape)
    near = np.minimum(scipy.ndimage.distance_transform_edt(~rims), DEEP)
    mean = lambda x: scipy.ndimage.uniform_filter(x, 3, mode="mirror")  # noqa: E731
    whole = mean(near).astype(np.uint8)
    # Each level becomes the share of pixels up to it, the lowest that there is 0.
    counts = np.cumsum(np.bincount(whole.ravel(), minlength=256))
    lowest = counts[counts > 0][0]
    levels = np.rint(255.0 * (counts - lowest) / max(counts[-1] - lowest, 1)).clip(0)
    lit = scipy.ndimage.correlate(levels[whole], RELIEF, mode="mirror")
    return mean(np.clip(np.rint(lit), 0, 255))
