"""Where the crops of an image lie, drawn on it."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from m3i_jax import pictures
from m3i_jax.plotting import PALETTE
from m3i_jax.types import Array, Box


def outlined(image: Array, crops: Box | Array, *, names: Sequence[str], height: int) -> Array:
    """The image with the outline of each crop in a colour of its own, and its name at a corner.

    Args:
      image: (H, W, 3), the original.
      crops: n boxes of this image, packed (n, 6) or `Box`. A crop of the mirrored image is drawn
        where its content is in the original, and named as flipped.
      names: of the n crops.   height: of the picture, see `pictures.fit`.
    """
    picture = pictures.fit(image, height)
    scale = picture.shape[0] / np.shape(image)[0]
    canvas = Image.fromarray(picture)
    draw, tags, font = ImageDraw.Draw(canvas), [], ImageFont.load_default(pictures.TEXT)
    fields = (np.atleast_1d(np.asarray(x, np.float64)) for x in Box.of(crops))
    for i, (top, left, rows, width, flip, frame) in enumerate(zip(*fields, strict=True)):
        left = frame - left - width if flip > 0.5 else left
        x0, y0, x1, y1 = (round(scale * c) for c in (left, top, left + width, top + rows))
        colour = PALETTE[i % len(PALETTE)]
        draw.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=colour, width=3)
        label = f"{names[i]} flipped" if flip > 0.5 else str(names[i])
        extent = round(draw.textlength(label, font=font)) + 8
        # Tags of later crops sit at other corners, so that crops that coincide stay legible.
        x, y = x0 if i % 2 == 0 else x1 - extent, y0 if i % 4 < 2 else y1 - pictures.LINE
        tags.append((x, y, extent, label, colour))
    for x, y, extent, label, colour in tags:
        draw.rectangle((x, y, x + extent - 1, y + pictures.LINE - 1), fill=colour)
        middle = (x + 4, y + pictures.LINE // 2)
        draw.text(middle, label, fill=pictures.PAPER, font=font, anchor="lm")
    return np.asarray(canvas)
