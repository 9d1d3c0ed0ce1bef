"""Views that are turned, too: the affine map from an image to a view, and what it shows.

    place in the view = linear · place in the image + shift

of (row, column) in pixels from the upper left corner, the middle of the first pixel at ½.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from m3i_jax.data.sources import sample_objects
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.data.views.annotated import UNKNOWN, inside
from m3i_jax.types import Array, Box


class Affine(NamedTuple):
    """linear: (2, 2) float64, rows and columns of the view by those of the image.  shift: (2,)."""

    linear: Array
    shift: Array

    def places(self, places: Array) -> Array:
        """(..., 2) rows and columns of the image, in the view."""
        return places.astype(np.float64) @ self.linear.T + self.shift

    @property
    def inverse(self) -> "Affine":
        """From the view to the image."""
        back = np.linalg.inv(self.linear)
        return Affine(back, -back @ self.shift)

    @property
    def mirrors(self) -> bool:
        """Whether the view is a mirror image."""
        return bool(np.linalg.det(self.linear) < 0)


def framed(
    centre: Array, extent: Array, size: tuple[int, int], *, angle: float = 0.0, mirrored: int = 0
) -> Affine:
    """The map by which a rectangle fills a view, unbiased (UDP): its sides are the distances
    between the *middles* of the first and last pixels of the view, h − 1 and w − 1.

    Huang et al. 2020, https://arxiv.org/abs/1911.07524, section 3.2.

    Args:
      centre: (2,) row and column of its middle, in the mirror image where that is shown.
      extent: (2,) its height and width.
      size: height and width of the view.
      angle: radians by which the image is turned clockwise about that middle.
      mirrored: width of the image where its mirror image is shown; 0 = the image itself.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    scale = (np.array(size) - 1) / np.asarray(extent, np.float64)
    linear = scale[:, None] * np.array([[cos, sin], [-sin, cos]])
    shift = np.array(size) / 2 - linear @ np.asarray(centre, np.float64)
    if mirrored:
        shift, linear = shift + linear[:, 1] * mirrored, linear * [1, -1]
    return Affine(linear, shift)


def of_box(box: Array, size: tuple[int, int]) -> Affine:
    """The map that a packed (6,) box stands for, see `views.crops`."""
    where = Box.of(np.asarray(box, np.float64))
    linear = np.diag([size[0] / where.height, size[1] / where.width])
    shift = -linear @ [where.top, where.left]
    if where.flip:
        shift, linear = shift + linear[:, 1] * where.frame, linear * [1, -1]
    return Affine(linear, shift)


def warped(
    image: Array, to_view: Affine, size: tuple[int, int], *, fill: Sequence[int] = (0, 0, 0)
) -> Array:
    """(h, w, 3) uint8, bilinear between four pixels, as cv2.warpAffine; `fill` beyond the image."""
    (down, across), (start_row, start_column) = to_view.inverse.linear, to_view.inverse.shift
    rows = (across[1], across[0], start_column, down[1], down[0], start_row)  # x, y for Pillow
    how = Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).transform(size[::-1], *how, fillcolor=tuple(fill)))


def seen(
    said: Annotations,
    to_view: Affine,
    size: tuple[int, int],
    *,
    swapped: Sequence[tuple[int, int]] = (),
) -> Annotations:
    """The annotations of a view; as `annotated.seen`, of any map.

    A box becomes the smallest upright one around it.
    """
    box, points = said.box, said.points
    if box is not None:
        first, last = np.split(_around(np.concatenate([box[:2], box[:2] + box[2:]]), to_view), 2)
        box = np.concatenate([first, last - first]).astype(np.float32)
    if points is not None:
        places = to_view.places(points[:, :2])
        points = np.concatenate([places, points[:, 2:]], axis=1).astype(np.float32)
    mask, depth = (
        None if plane is None else _nearest(plane, to_view, size, beyond)
        for plane, beyond in ((said.mask, UNKNOWN), (said.depth, 0))
    )
    swapped = swapped if to_view.mirrors else ()
    objects = _moved(said.objects, to_view, size)
    return inside(Annotations(mask, box, depth, points, objects), size, swapped=swapped)


def _around(corners: Array, to_view: Affine) -> Array:
    """(..., 4) the smallest upright boxes around what (..., 4) corners become."""
    every = corners[..., np.array([[0, 1], [0, 3], [2, 1], [2, 3]])]
    placed = to_view.places(every)
    return np.concatenate([placed.min(-2), placed.max(-2)], axis=-1)


def _moved(
    objects: SampleObjects | None, to_view: Affine, size: tuple[int, int]
) -> SampleObjects | None:
    """Objects and their outlines in pixels of a view."""
    if objects is None:
        return None
    plane = lambda pixels: _nearest(pixels, to_view, size, 0)  # noqa: E731
    scale = float(abs(np.linalg.det(to_view.linear)))
    found = sample_objects.moved(objects, to_view.places, plane, scale=scale)
    return found._replace(corners=_around(objects.corners, to_view).astype(np.float32))


def _nearest(plane: Array, to_view: Affine, size: tuple[int, int], beyond: int) -> Array:
    """The (h, w) pixels of (H, W) that are nearest to those of the view."""
    middles = np.stack(np.indices(size), axis=-1) + 0.5
    places = np.floor(to_view.inverse.places(middles)).astype(np.int64)
    there = ((places >= 0) & (places < plane.shape)).all(axis=-1)
    rows, columns = np.moveaxis(places.clip(0, np.array(plane.shape) - 1), -1, 0)
    return np.where(there, plane[rows, columns], plane.dtype.type(beyond))
