"""What is said of the pixels of a view, as targets: categories, depth, key points.

None has parameters. What annotations mean is told by `types.ViewAnnotations`; what compares them
with the map that a head predicts is in `pixelwise`.
"""

import jax.numpy as jnp

from m3i_jax.framework.codes import Encoder
from m3i_jax.types import Features

PIXELWISE = ("mask", "depth", "points")  # views of a sample that are not images


def categories(*, classes: int) -> Encoder:
    """The category of every pixel, (B, H, W), of so many; 255 = nobody has named it."""

    def apply(inputs):
        return Features(target_index=inputs.view.data.astype(jnp.int32)), {}

    return _said("categories", apply, lambda nodes: classes)


def depths(*, width: int = 1) -> Encoder:
    """How far away every pixel is, (B, H, W, 1), in the data set's unit; 0 = not measured.

    width: numbers that a head says of each pixel.
    """

    def apply(inputs):
        # With an axis of channels, as a head predicts it.
        return Features(maps=(inputs.view.data[..., None].astype(jnp.float32),)), {}

    return _said("depths", apply, lambda nodes: width)


def key_points(*, points: int) -> Encoder:
    """Where so many points are, (B, K, 3): row, column and visibility, see `ViewAnnotations`."""

    def apply(inputs):
        return Features(tokens=inputs.view.data.astype(jnp.float32)), {}

    return _said("key points", apply, lambda nodes: points)


def _said(name: str, apply, width) -> Encoder:
    return Encoder(name, "image", apply, width, stop_gradient=True, represents=name)
