"""Pictures of what the model sees: arrays in, (H, W, 3) uint8 arrays out, by NumPy and Pillow."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from m3i_jax.normalize import IMAGENET_MEAN, IMAGENET_STD
from m3i_jax.ordinary import written_by
from m3i_jax.types import Array

PAPER, INK, FAINT = (255, 255, 255), (40, 44, 52), (140, 146, 156)
MARK = (213, 94, 0)  # what is pointed at: `plotting.PALETTE`'s vermilion
HIDDEN = (122, 130, 146)  # what lies behind a mask: seen on dark and on bright pictures
TEXT, LINE = 12, 18  # heights of the letters and of a line of text, in pixels
PAD, LEAST = 8, 128  # pixels between tiles; smaller images are enlarged to at least this height
Images = Sequence[np.ndarray] | np.ndarray


def unnormalise(images: Array, *, mean: tuple = IMAGENET_MEAN, std: tuple = IMAGENET_STD) -> Array:
    """x·std + mean, clipped to [0, 1]: (..., 3) normalised -> (..., 3) uint8."""
    return as_uint8(np.asarray(images, np.float32) * np.float32(std) + np.float32(mean))


def as_uint8(images: Array) -> np.ndarray:
    """Images in [0, 1] as (..., 3) uint8; uint8 passes, what is not finite turns black."""
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    x = np.nan_to_num(images.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    return np.round(255 * np.clip(x, 0, 1)).astype(np.uint8)


def enlarge(image: Array, *, least: int = LEAST) -> np.ndarray:
    """Every pixel as a square of f x f, f the smallest integer that gives height >= `least`."""
    height = np.shape(image)[0]
    return fit(image, height * max(1, -(-least // height)))


def fit(image: Array, height: int) -> np.ndarray:
    """The image at another height: whole squares per pixel where that is possible, else bicubic."""
    image = as_uint8(image)
    factor, rest = divmod(height, image.shape[0])
    if not rest:
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def overlay(image: Array, mask: Array, *, strength: float = 0.82) -> np.ndarray:
    """The image with its hidden cells shaded; visible pixels are left exactly as they are.

    Hidden cells keep a grey trace of what they hide, so that one sees what must be predicted.

    Args:
      image: (H, W, 3).
      mask: (h, w) bool, True = visible; h and w divide H and W.
      strength: of the shade, 1 = opaque.
    """
    image = as_uint8(image)
    grey = image.astype(np.float32).mean(-1, keepdims=True)
    shade = (1 - strength) * grey + strength * np.float32(HIDDEN)
    return np.where(_pixels(mask, image)[..., None], image, as_uint8(shade / 255))


def paste(image: Array, prediction: Array, mask: Array) -> np.ndarray:
    """The prediction where the image was hidden, the image where it was visible (H, W, 3)."""
    return np.where(_pixels(mask, image)[..., None], as_uint8(image), as_uint8(prediction))


def grid(
    images: Images,
    *,
    columns: int,
    pad: int = PAD,
    captions: Sequence[str] | None = None,
    height: int | None = None,
) -> np.ndarray:
    """Images in rows of `columns` on white, enlarged, with a line of text under each.

    The tile in row r, column c starts at (pad + r·(h + text + pad), pad + c·(w + pad)), with h, w
    the largest sizes and text `LINE` pixels with captions, else 0.

    Args:
      images: (H, W, 3) each, or one (N, H, W, 3); uint8 or floats in [0, 1].
      columns: tiles per row.
      pad: white pixels between tiles and around them.
      captions: one for each image, cut off where it does not fit.
      height: of every tile, see `fit`; None enlarges each as `enlarge` does.
    """
    if not len(images) or columns < 1:
        raise ValueError(f"cannot draw {len(images)} images in {columns} columns")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(images)} images have {len(captions)} captions")
    tiles = [enlarge(image) if height is None else fit(image, height) for image in images]
    height, width = (max(t.shape[i] for t in tiles) for i in (0, 1))
    columns, rows = min(columns, len(tiles)), -(-len(tiles) // columns)
    step = height + pad + (LINE if captions is not None else 0)
    shape = (pad + rows * step, pad + columns * (width + pad))
    canvas = Image.new("RGB", shape[::-1], PAPER)
    for i, tile in enumerate(tiles):
        top, left = pad + i // columns * step, pad + i % columns * (width + pad)
        canvas.paste(Image.fromarray(tile), (left, top))
        if captions is not None:
            _write(canvas, captions[i], left, top + height, width, ink=INK)
    return np.asarray(canvas)


def table(
    columns: Mapping[str, Images],
    *,
    captions: Sequence[str] | None = None,
    height: int | None = None,
) -> np.ndarray:
    """One row per sample, one titled column per view of it, the caption under the row.

    Args:
      columns: title -> N images; all columns of one length.
      captions: N texts, such as the labels.
      height: of every tile, see `fit`; None enlarges the smallest to `LEAST`.
    """
    lengths = {name: len(images) for name, images in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"columns of one picture need equal lengths, got {lengths}")
    tiles = [image for row in zip(*columns.values(), strict=True) for image in row]
    if height is None:
        height = len(enlarge(min(tiles, key=len)))
    blank = None if captions is None else [""] * len(tiles)
    body = Image.fromarray(grid(tiles, columns=len(columns), captions=blank, height=height))
    canvas = Image.new("RGB", (body.width, body.height + LINE), PAPER)
    canvas.paste(body, (0, LINE))
    width = (body.width - PAD) // len(columns) - PAD
    for i, title in enumerate(columns):
        _write(canvas, title, PAD + i * (width + PAD), PAD // 2, width, ink=FAINT)
    for i, caption in enumerate(captions or ()):
        top = LINE + PAD + height + i * (height + LINE + PAD)
        _write(canvas, caption, PAD, top, body.width - 2 * PAD, ink=INK)
    return np.asarray(canvas)


def save(image: Array, path: str | Path) -> Path:
    """Writes a picture as PNG and returns its path."""
    picture = Image.fromarray(as_uint8(image))
    return written_by(path, functools.partial(picture.save, format="PNG", optimize=True))


def _pixels(mask: Array, image: np.ndarray) -> np.ndarray:
    """(h, w) cells as (H, W) pixels."""
    mask = np.asarray(mask, bool)
    (h, w), (height, width) = mask.shape, image.shape[:2]
    if height % h or width % w:
        raise ValueError(f"a mask of {h}x{w} cells does not divide {height}x{width} pixels")
    return mask.repeat(height // h, axis=0).repeat(width // w, axis=1)


@functools.cache
def _font() -> ImageFont.ImageFont:
    """Pillow's own font, the same on every machine."""
    return ImageFont.load_default(TEXT)


def _write(canvas: Image.Image, text: str, left: int, top: int, width: int, *, ink) -> None:
    """One line of text, cut off with an ellipsis where it does not fit."""
    draw, text = ImageDraw.Draw(canvas), " ".join(str(text).split())
    shown = text
    while text and draw.textlength(shown, font=_font()) > width:
        text = text[:-1].rstrip()
        shown = text + "…"
    draw.text((left, top + LINE // 2), shown, fill=ink, font=_font(), anchor="lm")
