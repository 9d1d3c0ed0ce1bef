"""What a step says of pixels beside what is so: masks, depth maps, skeletons, as tiles.

Colours are Okabe's and Ito's, which the colour-blind tell apart (https://jfly.uni-koeln.de/color/),
and those of `heat` for depth, one scale for both.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from m3i_jax import geometry, heatmaps, pictures
from m3i_jax.analysis import boxes, heat
from m3i_jax.analysis.predictions import Seen
from m3i_jax.detection import tracking
from m3i_jax.detection.tracking import Tracked
from m3i_jax.framework import PIXELWISE, Method
from m3i_jax.types import Array, Detections, Objects

# Black first: what a mask calls 0 is often the ground; no other category is, as lighter it is grey.
COLOURS = np.uint8([
    (0, 0, 0), (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0),
    (86, 180, 233), (240, 228, 66),
])  # fmt: skip
STRENGTH = 0.65  # of a colour over the image
SAID, TRUE = (213, 94, 0), (0, 114, 178)
UNNAMED = 255
SURE = 0.5  # of what is found, and of a pixel of a mask
Bones = Sequence[tuple[int, int]]


class Told(NamedTuple):
    """What a term says of the pixels of images, and what is so; rows of a batch.

    image: (B, H, W, 3) normalised.
    said, true: categories (B, H, W), depths (B, H, W), points (B, K, 3), or `Detections` beside
      `Objects`.
    """

    image: Array
    said: Array | Detections
    true: Array | Objects


def terms(method: Method) -> dict[str, str]:
    """{term: which of `framework.PIXELWISE`} of the terms that say something of pixels, of each
    head one."""
    views = {name: method.codes[term.y].view for name, term in method.terms.items()}
    of_head = {method.terms[name].decoder: name for name in reversed(method.terms)}
    return {
        name: view
        for name, view in views.items()
        if view in PIXELWISE and of_head[method.terms[name].decoder] == name
    }


def told(seen: Seen, method: Method, term: str) -> Told:
    """What a term says in the pixels of its image: categories, depths, or points."""
    view, (maps, _) = terms(method)[term], seen.predicted[term]
    image = seen.prepared.views[method.source_of(method.terms[term].x)[1].view].data
    size, true = image.shape[1:3], seen.prepared.views[view].data
    if view == "objects":
        return Told(
            image, tracking.tracked_object(maps) if isinstance(maps, Tracked) else maps, true
        )
    if view == "points":
        joints = heatmaps.decode(maps, crop=size)
        shown = jnp.full_like(joints.points[..., :1], 2.0)
        return Told(image, jnp.concatenate([joints.points, shown], axis=-1), true)
    maps = geometry.bilinear(maps, size)
    return Told(image, maps.argmax(-1) if view == "mask" else maps[..., 0], true)


def columns(term: str, view: str, told: Told, bones: Bones) -> dict[str, list[np.ndarray]]:
    """Title -> a tile for each row: what is said, and what is so."""
    images = [pictures.enlarge(pictures.unnormalise(image)) for image in told.image]
    if view == "points":
        rows = zip(images, told.image, told.said, told.true, strict=True)
        tiles = [_skeletons(big, image, said, true, bones) for big, image, said, true in rows]
        return {f"{term}, true in blue": tiles}
    if view == "objects":
        return {f"{term}, true in blue": [_boxed(*row) for row in _rows(images, told)]}
    pair = {"said": told.said, "true": told.true}
    if view == "mask":
        draw = lambda values: [masked(i, m) for i, m in zip(images, values, strict=True)]  # noqa: E731
        return {f"{term}, {what}": draw(values) for what, values in pair.items()}
    # One scale for both, and for all rows, from violet to yellow.
    known = np.asarray(told.true)[np.asarray(told.true) > 0]
    low, high = (float(end(known)) for end in (np.min, np.max)) if known.size else (0.0, 1.0)
    draw = lambda values: [heights(depth, low, high) for depth in np.asarray(values)]  # noqa: E731
    return {f"{what}, {low:.2g} to {high:.2g}": draw(values) for what, values in pair.items()}


def masked(image: Array, mask: Array) -> np.ndarray:
    """A colour for each category over an image of grey; what nobody has named is left in grey.

    Of more than eight categories the seven behind the first come again, lighter each time.
    mask: (h, w), of which the image's sides are multiples.
    """
    mask = np.asarray(mask).astype(np.int64)
    factor = image.shape[0] // mask.shape[0]
    mask = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    again = len(COLOURS) - 1
    turn = np.maximum(mask - 1, 0)[..., None] // again
    colour = COLOURS[np.where(mask > 0, 1 + (mask - 1) % again, 0)].astype(np.float32)
    colour = 255 - (255 - colour) * 0.6**turn
    grey = image.astype(np.float32).mean(-1, keepdims=True).repeat(3, -1)
    over = np.where(mask[..., None] == UNNAMED, grey, STRENGTH * colour + (1 - STRENGTH) * grey)
    return over.round().astype(np.uint8)


def heights(depth: Array, low: float, high: float) -> np.ndarray:
    """Depths (H, W) as colours (H, W, 3), `low` violet, `high` yellow; not measured is white."""
    depth = np.asarray(depth, np.float32)
    colour = heat.colours((depth - low) / max(high - low, 1e-12))
    return np.where((depth > 0)[..., None], colour, np.uint8(255))


def skeleton(
    canvas: Image.Image,
    points: Array,
    bones: Bones,
    *,
    factor: float,
    colour: tuple[int, int, int],
    thick: int = 1,
) -> None:
    """Draws bones and joints (K, 3) row, column, visibility; those of visibility 0 are left out.

    factor: pixels of the canvas for one of the image.   thick: width of a bone.
    """
    draw, points = ImageDraw.Draw(canvas), np.asarray(points, np.float32)
    place = [(x * factor, y * factor) for y, x, _ in points.tolist()]
    there = points[:, 2] > 0
    for one, other in bones:
        if there[one] and there[other]:
            draw.line((*place[one], *place[other]), fill=colour, width=thick)
    for n in np.flatnonzero(there):
        (x, y), r = place[n], 1.5 * thick
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _skeletons(big: np.ndarray, image: Any, said: Array, true: Array, bones: Bones) -> np.ndarray:
    """Bones and joints of both over an enlarged image: the truth below, as it is thicker."""
    canvas, factor = Image.fromarray(big), big.shape[0] / image.shape[0]
    width = max(1, big.shape[0] // 64)
    for points, colour, thick in ((true, TRUE, 2 * width), (said, SAID, width)):
        skeleton(canvas, points, bones, factor=factor, colour=colour, thick=thick)
    return np.asarray(canvas)


def _rows(images: Sequence[np.ndarray], told: Told):
    """(enlarged image, image, found, there) of each row."""
    for number, big in enumerate(images):
        one = jax.tree.map(lambda x, n=number: np.asarray(x[n]), (told.said, told.true))
        yield big, told.image[number], *one


def _boxed(big: np.ndarray, image: Array, said: Detections, true: Objects) -> np.ndarray:
    """What is found with a score of ½ and more over what is there, with masks where there are any.

    Each box says the number of its category.
    """
    factor, width = big.shape[0] / image.shape[0], max(1, big.shape[0] // 96)
    there = true.categories >= 0
    names = [str(number) for number in true.categories[there]]
    below = boxes.drawn(
        big, true.corners[there], factor=factor, colour=TRUE, thick=2 * width, texts=names
    )
    sure = said.scores >= SURE
    masks = None if said.masks is None else said.masks[sure] >= SURE
    names = [str(number) for number in said.categories[sure]]
    how = dict(factor=factor, colour=SAID, thick=width, masks=masks, texts=names)
    return boxes.drawn(below, said.corners[sure], **how)
