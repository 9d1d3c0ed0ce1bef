"""Boxes and masks of objects drawn over images: those that are found, over those that are there."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from m3i_jax.types import Array

TINT = 0.45  # of a mask's colour over the image
Colour = tuple[int, int, int]


def drawn(
    image: Array,
    corners: Array,
    *,
    factor: float,
    colour: Colour,
    thick: int = 1,
    masks: Array | None = None,
    texts: Sequence[str] = (),
) -> np.ndarray:
    """(H, W, 3) uint8, an image with boxes.

    Args:
      image: (H, W, 3) uint8.
      corners: (n, 4) top, left, bottom, right in pixels of what the image is an enlargement of.
      factor: pixels of the image for one of these.
      colour, thick: of the lines, thick in pixels.
      masks: (n, h, w) bool, in the frame of the corners, tinted.
      texts: for each box, in its upper left corner, white on its colour; () = none.
    """
    corners = np.asarray(corners, np.float64) * factor
    picture = np.array(image, np.uint8)
    for box, mask in zip(corners, () if masks is None else masks, strict=False):
        _tint(picture, box, np.asarray(mask), colour)
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    for number, (top, left, bottom, right) in enumerate(corners.tolist()):
        # A box of no pixel is a line still.
        ends = left, top, max(right - 1, left), max(bottom - 1, top)
        draw.rectangle(ends, outline=colour, width=thick)
        if texts:
            at = left + thick + 1, top + thick
            draw.rectangle(draw.textbbox(at, texts[number]), fill=colour)
            draw.text(at, texts[number], fill="white")
    return np.asarray(canvas)


def _tint(picture: np.ndarray, box: Array, mask: Array, colour: Colour) -> None:
    """Colours the pixels of a picture whose middles lie in a mask."""
    top, left, bottom, right = box
    first = np.floor(box[:2]).clip(0).astype(int)
    last = np.ceil(box[2:]).clip(0, picture.shape[:2]).astype(int)
    if (last <= first).any() or bottom <= top or right <= left:
        return
    y, x = (np.arange(a, b) + 0.5 for a, b in zip(first, last, strict=True))
    rows = ((y - top) / (bottom - top) * mask.shape[0]).astype(int).clip(0, mask.shape[0] - 1)
    columns = ((x - left) / (right - left) * mask.shape[1]).astype(int).clip(0, mask.shape[1] - 1)
    within = ((y >= top) & (y <= bottom))[:, None] & ((x >= left) & (x <= right))
    there = mask[rows[:, None], columns].astype(bool) & within
    part = picture[first[0] : last[0], first[1] : last[1]]
    part[there] = TINT * np.float32(colour) + (1 - TINT) * part[there]
