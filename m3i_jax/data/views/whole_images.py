"""Evaluation views that show all of an image: stretched to a square, or with an edge beside it.

Each gives the view and its packed box, as `crops.center_crop` does.
"""

import numpy as np
from PIL import Image

from m3i_jax.data.views.annotated import whole
from m3i_jax.types import Array


def stretched(image: Array, *, size: int) -> tuple[Array, Array]:
    """All of (H, W, 3) uint8 as (size, size, 3), whatever its shape; bicubic, antialiased."""
    return _resized(image, size, size), whole(*image.shape[:2])


def padded(image: Array, *, size: int) -> tuple[Array, Array]:
    """The long side to `size`, bicubic, antialiased; black to the right or below.

    The box reaches beyond the image, so that masks and depth are unknown there.
    """
    height, width = image.shape[:2]
    tall, wide = (max(1, round(size * side / max(height, width))) for side in (height, width))
    view = np.zeros((size, size, 3), np.uint8)
    view[:tall, :wide] = _resized(image, tall, wide)
    box = [0, 0, size * height / tall, size * width / wide, 0, width]
    return view, np.array(box, np.float32)


def _resized(image: Array, height: int, width: int) -> Array:
    whole_image = Image.fromarray(image)
    return np.asarray(whole_image.resize((width, height), Image.Resampling.BICUBIC))
