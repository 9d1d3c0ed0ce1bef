"""Noise, drawn for every value by itself."""

import numpy as np
from jaxtyping import Float

Image = Float[np.ndarray, "height width 3"]


def gaussian_noise(rng: np.random.Generator, image: Image, scale: float) -> Image:
    """x + N(0, scale²): a sensor in low light."""
    return image + scale * rng.standard_normal(image.shape)


def shot_noise(rng: np.random.Generator, image: Image, photons: float) -> Image:
    """Poisson(x·photons)/photons: light comes in quanta, `photons` of them at white."""
    return rng.poisson(image * photons) / photons


def impulse_noise(rng: np.random.Generator, image: Image, amount: float) -> Image:
    """A share `amount` of the values is 0 or 1, each half of the time: salt and pepper."""
    lot = rng.random(image.shape)
    return np.where(lot < amount, (lot < amount / 2).astype(image.dtype), image)


def speckle_noise(rng: np.random.Generator, image: Image, scale: float) -> Image:
    """x + x·N(0, scale²): louder where it is brighter."""
    return image + image * scale * rng.standard_normal(image.shape)
