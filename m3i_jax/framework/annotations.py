"""What is said of the pixels of a view, as targets: categories, depth, key points.

None has parameters. What annotations mean is told by `types.ViewAnnotations`; what compares them
with the map that a head predicts is in `pixelwise`.
"""

import jax.numpy as jnp

from m3i_jax.framework.codes import Encoder
from m3i_jax.types import Features

OUTLINED, COUNTED = "outlined", "counted"  # what is asked of objects beside their boxes
PIXELWISE = ("mask", "depth", "points", "objects")  # views of a sample that are not images


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
    """Where so many points are, (B, K, 3): row, column and visibility, see `ViewAnnotations`.

    Rows and columns are shares of the way from the middle of the first pixel of view a to that of
    the last: unbiased, as Huang et al. 2020 say (https://arxiv.org/abs/1911.07524), on any grid.
    """

    def apply(inputs):
        # Points have no size of their own: that of the view in whose pixels they are.
        size = jnp.array([[inputs.of("a").view.data.shape[1:3]]], jnp.float32)
        points = inputs.view.data.astype(jnp.float32)
        places = (points[..., :2] - 0.5) / jnp.maximum(size - 1, 1)
        return Features(tokens=jnp.concatenate([places, points[..., 2:]], axis=-1)), {}

    return _said("key points", apply, lambda nodes: points)


def objects(*, categories: int, outlines: bool = False, counts: bool = False) -> Encoder:
    """The objects of an image, of so many categories, see `types.Objects`.

    outlines: whether their masks are asked for, beside their boxes.
    counts: whether it is asked how many images of the data show each category.
    """
    left = dict(masks=outlines, shown=counts)
    left = {name: None for name, asked in left.items() if not asked}

    def apply(inputs):
        return Features(objects=inputs.view.data._replace(**left)), {}

    name = " ".join([OUTLINED] * outlines + [COUNTED] * counts + ["objects"])
    return _said(name, apply, lambda nodes: categories)


def _said(name: str, apply, width) -> Encoder:
    return Encoder(name, "image", apply, width, stop_gradient=True, represents=name)
