"""Evaluation views that show all of an image: stretched to a square, or with an edge beside it.

Each gives the view and its packed box, as `crops.center_crop` does; `restored` brings what is
predicted for the view back to the image.
"""

import numpy as np
from PIL import Image

from m3i_jax.data.views.annotated import whole
from m3i_jax.data.views.scale_jitter import MEAN, resized_sides, shown
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


def fitted(
    image: Array, *, size: tuple[int, int], fill: tuple[int, int, int] = MEAN
) -> tuple[Array, Array]:
    """All of an image, as large as it fits into a view of this height and width, its ratio kept;
    bilinear, antialiased; `fill` beside it, on the right or below.

    How detectors are tested: one size for images of all sizes.
    """
    gain = min(side / own for side, own in zip(size, image.shape[:2], strict=True))
    sides = [
        max(1, min(side, int(own * gain + 0.5)))
        for side, own in zip(size, image.shape[:2], strict=True)
    ]
    y, x = (own / side for own, side in zip(image.shape[:2], sides, strict=True))
    box = np.array([0, 0, size[0] * y, size[1] * x, 0, image.shape[1]], np.float32)
    return shown(image, box, size, fill=fill), box


def kept_ratio(
    image: Array,
    *,
    base: tuple[int, int] | None = (2048, 512),
    multiple: int = 1,
    fill: tuple[int, int, int] = MEAN,
    size: tuple[int, int] | None = None,
) -> tuple[Array, Array]:
    """All of an image fitted into a long and a short side, its ratio kept; bilinear, antialiased.

    The test view of mmsegmentation, but for the antialiasing.

    Args:
      image: (H, W, 3) uint8.
      base: long and short side; None = the image keeps its size.
      multiple: both sides of the view are padded to one of it, on the right and below.
      fill: red, green, blue there.
      size: height and width of the view, padded so far, where all are to have one.

    Raises:
      ValueError: the image does not fit into `size`.
    """
    sides = resized_sides(image.shape[:2], base)
    tall, wide = size or (-(-side // multiple) * multiple for side in sides)
    if tall < sides[0] or wide < sides[1]:
        raise ValueError(f"an image that is resized to {sides} does not fit into {(tall, wide)}")
    y, x = image.shape[0] / sides[0], image.shape[1] / sides[1]
    box = np.array([0, 0, tall * y, wide * x, 0, image.shape[1]], np.float32)
    return shown(image, box, (tall, wide), fill=fill), box


def restored(values: Array, box: Array, frame: tuple[int, int]) -> Array:
    """(H, W, ...) float32: predictions (h, w, ...) for a view, at the pixels of its image.

    Bilinear between the middles of four cells, of those alone that show some of the image; beyond
    the middles of the outermost cells, and where the view shows nothing, it is the nearest one. The
    view may be of logits on a coarser grid: its box is what says where they are.

    Args:
      values: of the whole view.
      box: (6,) where the view was cut, in pixels of the image.
      frame: height and width of the image.
    """
    top, left, height, width, mirrored, _ = map(float, box)
    values = np.asarray(values, np.float32)
    columns = np.arange(frame[1]) + 0.5
    columns = frame[1] - columns if mirrored else columns
    rows = _between(np.arange(frame[0]) + 0.5, top, height, values.shape[0], frame[0])
    columns = _between(columns, left, width, values.shape[1], frame[1])
    for axis, (low, high, share) in enumerate((rows, columns)):
        share = share.reshape(-1, *[1] * (values.ndim - axis - 1))
        below, above = np.take(values, low, axis), np.take(values, high, axis)
        values = below + share * (above - below)
    return values


def _between(
    middles: Array, start: float, extent: float, cells: int, limit: int
) -> tuple[Array, Array, Array]:
    """Of each pixel of an image the two cells that it lies between, and how near the second is."""
    gain = cells / extent
    first = max(0, int(np.floor(-start * gain + 1e-3)))
    last = min(cells, int(np.ceil((limit - start) * gain - 1e-3))) - 1
    places = ((middles - start) * gain - 0.5).clip(first, last)
    low = np.floor(places).astype(np.int64)
    return low, np.minimum(low + 1, last), (places - low).astype(np.float32)


def _resized(image: Array, height: int, width: int) -> Array:
    whole_image = Image.fromarray(image)
    return np.asarray(whole_image.resize((width, height), Image.Resampling.BICUBIC))
