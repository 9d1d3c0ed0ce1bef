"""Blurs: by a Gaussian, a lens out of focus, frosted glass, movement, and movement ahead."""

import math
from collections.abc import Sequence

import numpy as np
import scipy.ndimage
import scipy.signal
from jaxtyping import Float

Image = Float[np.ndarray, "height width channels"]
Kernel = Float[np.ndarray, "odd odd"]
WINDOW = 8  # a disk's kernel has 17 x 17 numbers, or as many as the disk needs


def gaussian_blur(rng: np.random.Generator | None, image: Image, sigma: float) -> Image:
    """By a Gaussian up to 4σ; behind the border is its nearest pixel."""
    return scipy.ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest", truncate=4.0)


def defocus_blur(
    rng: np.random.Generator | None, image: Image, radius: float, sigma: float
) -> Image:
    """By a disk whose rim is softened by σ; the image is mirrored at its border (2 1 | 0 1 2)."""
    return convolved(image, disk(radius, sigma), mode="reflect")


def disk(radius: float, sigma: float) -> Kernel:
    """A disk of this radius, summing to 1, blurred by a Gaussian of 3 or 5 taps."""
    reach, taps = (WINDOW, 1) if radius <= WINDOW else (math.ceil(radius), 2)
    axis = np.arange(-reach, reach + 1)
    kernel = (axis[:, None] ** 2 + axis[None] ** 2 <= radius**2).astype(np.float64)
    weights = np.exp(-0.5 * np.square(np.arange(-taps, taps + 1) / sigma))
    kernel, weights = kernel / kernel.sum(), weights / weights.sum()
    for direction in (0, 1):
        kernel = scipy.ndimage.correlate1d(kernel, weights, direction, mode="mirror")
    return kernel


def glass_blur(
    rng: np.random.Generator, image: Image, sigma: float, reach: int, times: int
) -> Image:
    """Blurred, every pixel taken from a random place near by, again and again, and blurred again.

    The place is −reach … reach − 1 pixels away along each axis, as published. There pixels are
    replaced one after the other, from the last to the first; here all at once.
    """
    x = gaussian_blur(None, image, sigma)
    height, width = x.shape[:2]
    for _ in range(times):
        dy, dx = rng.integers(-reach, reach, (2, height, width))
        rows = np.clip(np.arange(height)[:, None] + dy, 0, height - 1)
        columns = np.clip(np.arange(width)[None] + dx, 0, width - 1)
        x = x[rows, columns]
    return gaussian_blur(None, x, sigma)


def motion_blur(
    rng: np.random.Generator, image: Image, radius: int, sigma: float, *, middle: float = 0.0
) -> Image:
    """By movement in a random direction, up to 45° from `middle`, in degrees; see `streak`."""
    angle = math.radians(middle + rng.uniform(-45, 45))
    return convolved(image, streak(radius, sigma, angle), mode="edge")


def streak(radius: int, sigma: float, angle: float) -> Kernel:
    """Half a Gaussian along a line from the middle: exp(−t²/2σ²), t = 0 … 2·radius pixels.

    The weights are those of ImageMagick, which the published corruption calls. It rounds places on
    the line to pixels; here a weight is shared among the four pixels around its place.
    """
    reach = 2 * radius + 1
    kernel = np.zeros((2 * reach + 1,) * 2)
    t = np.arange(reach)
    weights = np.exp(-0.5 * np.square(t / sigma))
    y, x = reach + t * math.sin(angle), reach + t * math.cos(angle)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    for dy, of_row in ((0, 1 - (y - top)), (1, y - top)):
        for dx, of_column in ((0, 1 - (x - left)), (1, x - left)):
            np.add.at(kernel, (top + dy, left + dx), weights * of_row * of_column)
    return kernel / kernel.sum()


def zoom_blur(rng: np.random.Generator | None, image: Image, factors: Sequence[float]) -> Image:
    """The mean of the image and of its middle enlarged by each factor."""
    return (image + sum(zoomed(image, factor) for factor in factors)) / (len(factors) + 1)


def zoomed(image: Image, factor: float) -> Image:
    """The middle of an image, 1/factor of its sides, enlarged to the image's size, bilinearly."""
    kept = [math.ceil(side / factor) for side in image.shape[:2]]
    middle = image[tuple(_middle(side, n) for side, n in zip(image.shape[:2], kept, strict=True))]
    large = scipy.ndimage.zoom(middle, (factor, factor, 1), order=1)
    sides = zip(large.shape[:2], image.shape[:2], strict=True)
    return large[tuple(_middle(side, n) for side, n in sides)]


def _middle(side: int, kept: int) -> slice:
    first = (side - kept) // 2
    return slice(first, first + kept)


def convolved(image: Image, kernel: Kernel, *, mode: str) -> Image:
    """Σ_d kernel(d)·x(i − d) for every channel; `mode`, of `numpy.pad`, is what is outside."""
    reach = len(kernel) // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode=mode)
    return scipy.signal.oaconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1))
