"""What cameras, screens and files do: light, contrast, colour, stretching, blocks and JPEG."""

import io

import numpy as np
import scipy.ndimage
from jaxtyping import Float
from PIL import Image as Pillow

Image = Float[np.ndarray, "height width 3"]


def brightness(rng: np.random.Generator | None, image: Image, more: float) -> Image:
    """HSV's value v, the largest channel, becomes min(v + more, 1); hue and saturation stay."""
    value = image.max(-1, keepdims=True)
    wanted = np.clip(value + more, 0.0, 1.0)
    # Colours scale with their value; black, which has none, becomes grey.
    return np.where(value > 0, image * wanted / np.where(value > 0, value, 1.0), wanted)


def contrast(rng: np.random.Generator | None, image: Image, factor: float) -> Image:
    """(x − μ)·factor + μ, μ the mean of each channel."""
    mean = image.mean((0, 1), keepdims=True)
    return (image - mean) * factor + mean


def saturate(rng: np.random.Generator | None, image: Image, factor: float, more: float) -> Image:
    """HSV's saturation s becomes clip(s·factor + more, 0, 1); grey, which has no hue, turns red."""
    value, least = image.max(-1, keepdims=True), image.min(-1, keepdims=True)
    chroma = value - least
    wanted = np.clip(chroma / np.where(value > 0, value, 1.0) * factor + more, 0.0, 1.0)
    # How far below the value each channel is, as a share of the chroma: 1 for the lowest.
    below = np.where(chroma > 0, (value - image) / np.where(chroma > 0, chroma, 1.0), (0, 1, 1))
    return value * (1.0 - wanted * below)


def jpeg_compression(rng: np.random.Generator | None, image: Image, quality: int) -> Image:
    """Saved as JPEG, and read again."""
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=quality)
    return _pixels(Pillow.open(file))


def pixelate(rng: np.random.Generator | None, image: Image, factor: float) -> Image:
    """Made smaller by means over boxes, and enlarged to boxes again."""
    height, width = image.shape[:2]
    small = max(1, int(width * factor)), max(1, int(height * factor))
    picture = _picture(image).resize(small, Pillow.Resampling.BOX)
    return _pixels(picture.resize((width, height), Pillow.Resampling.BOX))


def elastic_transform(
    rng: np.random.Generator, image: Image, strength: float, smooth: float, jitter: float
) -> Image:
    """Stretched: by a random affine map, then by a smooth field of displacements.

    Three points of the middle move by U(−jitter, jitter), which gives the map; each displacement is
    strength times U(−1, 1), smoothed by a Gaussian of this deviation up to 3σ. All are shares of
    the image's side. Both steps are bilinear.
    """
    side = min(image.shape[:2])
    x = _affine(rng, image, jitter * side)
    offsets = rng.uniform(-1, 1, (2, *image.shape[:2]))
    sigma = (0, smooth * side, smooth * side)
    offsets = scipy.ndimage.gaussian_filter(offsets, sigma, mode="reflect", truncate=3.0)
    places = np.indices(image.shape[:2]) + strength * side * offsets
    return _sampled(x, places, mode="reflect")


def _affine(rng: np.random.Generator, image: Image, most: float) -> Image:
    """The image under the affine map that moves three corners of its middle by up to `most`."""
    middle, reach = np.array(image.shape[:2]) // 2, min(image.shape[:2]) // 3
    before = middle + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + rng.uniform(-most, most, before.shape)
    # Where a pixel comes from: the inverse map, of homogeneous coordinates.
    back = np.linalg.solve(np.c_[after, np.ones(3)], before.astype(np.float64))
    rows, columns = np.indices(image.shape[:2])
    places = np.stack([rows, columns, np.ones_like(rows)], -1) @ back
    return _sampled(image, np.moveaxis(places, -1, 0), mode="mirror")


def _sampled(image: Image, places: Float[np.ndarray, "2 height width"], *, mode: str) -> Image:
    """Bilinear samples of each channel at places (rows, columns)."""
    take = scipy.ndimage.map_coordinates
    channels = (take(image[..., c], places, order=1, mode=mode) for c in range(image.shape[-1]))
    return np.stack([*channels], -1)


def _picture(image: Image) -> Pillow.Image:
    return Pillow.fromarray(np.rint(255.0 * image).astype(np.uint8))


def _pixels(picture: Pillow.Image) -> Image:
    return np.asarray(picture, np.float64) / 255.0
