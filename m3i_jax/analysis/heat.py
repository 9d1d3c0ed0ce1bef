"""Maps of weights as colours over an image."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from m3i_jax.types import Array

# Viridis at 17 places (van der Walt & Smith 2015, CC0, https://bids.github.io/colormap/): steps of
# one size look alike, in grey and to the colour-blind, too.
STOPS = (
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1f9f88 27ad81 3dbc74 5cc863"
    " 81d34d aadc32 d5e21a fde725"
)
STRENGTH = 0.65  # of the colour over the grey image


def colours(values: Float[Array, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Values in [0, 1], which are cut off there, as colours from dark violet to yellow."""
    stops = np.array([[int(stop[i : i + 2], 16) for i in (0, 2, 4)] for stop in STOPS.split()])
    places = np.clip(np.nan_to_num(np.asarray(values, np.float64)), 0, 1) * (len(stops) - 1)
    mixed = [np.interp(places, np.arange(len(stops)), channel) for channel in stops.T]
    return np.round(np.stack(mixed, axis=-1)).astype(np.uint8)


def overlay(
    image: UInt8[Array, "height width 3"], weights: Float[Array, "rows columns"], *, most: float
) -> UInt8[np.ndarray, "height width 3"]:
    """The image in grey under the colours of a map, bilinear between the middles of its cells.

    most: the weight that is yellow; less than none of it is violet.
    """
    height, width = image.shape[:2]
    drawn = Image.fromarray(np.asarray(weights, np.float32) / max(most, 1e-12))
    resized = np.asarray(drawn.resize((width, height), Image.Resampling.BILINEAR))
    grey = np.asarray(image, np.float64).mean(-1, keepdims=True)
    mixed = STRENGTH * colours(resized) + (1 - STRENGTH) * grey
    return np.round(mixed).astype(np.uint8)
