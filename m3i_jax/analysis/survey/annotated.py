"""What records say of pixels, drawn beside their images: masks, depths, boxes, key points."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from m3i_jax import pictures
from m3i_jax.analysis import pixelwise
from m3i_jax.analysis.survey.sheets import ROWS, SIDE, TRIED, read, squared
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.sources.subset import places

BOX = (230, 159, 0)
EMPTY = np.full((SIDE, SIDE, 3), 255, np.uint8)  # of a record that does not say it


def annotated(source: Source, *, rows: int = ROWS) -> np.ndarray | None:
    """Records that say something of pixels: the image, and a column for each kind of it.

    A category has a colour of its own, and pixels that nobody has named are grey; depths have one
    scale for all rows, and those that are not measured are white.

    None where none of the records that are looked at says anything.
    """
    tried = (read(source, index) for index in places(len(source), TRIED).tolist())
    saying = (one for one in tried if one is not None and _says(one))
    samples = [one for one, _ in zip(saying, range(rows), strict=False)]
    if not samples:
        return None
    columns = {"image": [squared(sample.image) for sample in samples]}
    if any(sample.mask is not None for sample in samples):
        columns["mask"] = [_mask(sample) for sample in samples]
    if any(sample.depth is not None for sample in samples):
        low, high = _ends(samples)
        columns[f"depth, {low:.2g} to {high:.2g}"] = [_depth(one, low, high) for one in samples]
    named = {"box": [one.box for one in samples], "key points": [one.points for one in samples]}
    if there := [name for name, all_ in named.items() if any(x is not None for x in all_)]:
        skeleton = getattr(source, "skeleton", None)
        bones = skeleton.bones if skeleton else ()
        columns[" and ".join(there)] = [_placed(sample, bones) for sample in samples]
    return pictures.table(columns, height=SIDE)


def _says(sample: Sample) -> bool:
    said = sample.mask, sample.depth, sample.box, sample.points
    return any(one is not None for one in said)


def _mask(sample: Sample) -> np.ndarray:
    if sample.mask is None:
        return EMPTY
    return squared(pixelwise.masked(sample.image, sample.mask))


def _ends(samples: Sequence[Sample]) -> tuple[float, float]:
    """The least and the greatest depth that is measured; 0 and 1 where none is."""
    depths = [one.depth.ravel() for one in samples if one.depth is not None]
    known = np.concatenate(depths)
    known = known[np.isfinite(known) & (known > 0)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def _depth(sample: Sample, low: float, high: float) -> np.ndarray:
    if sample.depth is None:
        return EMPTY
    known = np.where(np.isfinite(sample.depth), sample.depth, 0)
    return squared(pixelwise.heights(known, low, high))


def _placed(sample: Sample, bones: pixelwise.Bones) -> np.ndarray:
    """The image with the box and the key points of its record."""
    height, width = sample.image.shape[:2]
    picture = pictures.fit(sample.image, max(1, round(SIDE * min(1, height / width))))
    canvas, factor = Image.fromarray(picture), picture.shape[0] / height
    if sample.box is not None:
        top, left, rows, columns = (factor * float(x) for x in sample.box)
        corners = (left, top, max(left, left + columns - 1), max(top, top + rows - 1))
        ImageDraw.Draw(canvas).rectangle(corners, outline=BOX, width=2)
    if sample.points is not None:
        pixelwise.skeleton(canvas, sample.points, bones, factor=factor, colour=pixelwise.TRUE)
    return squared(np.asarray(canvas))
