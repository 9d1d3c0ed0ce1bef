"""Pictures of what the model sees: arrays in, (H, W, 3) uint8 arrays out, by NumPy and Pillow.

Figures for papers, which matplotlib draws, have `STYLE` and are written by `save_figure`.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from m3i_jax.normalize import IMAGENET_MEAN, IMAGENET_STD
from m3i_jax.ordinary import written_by
from m3i_jax.types import Array, Box

PAPER, INK, FAINT = (255, 255, 255), (40, 44, 52), (140, 146, 156)
# Okabe & Ito's colours, which the colour-blind can tell apart; yellow is too light for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
HIDDEN = (122, 130, 146)  # what lies behind a mask: seen on dark and on bright pictures
TEXT, LINE = 12, 18  # heights of the letters and of a line of text, in pixels
PAD, LEAST = 8, 128  # pixels between tiles; smaller images are enlarged to at least this height
DASHES = (0, (4, 3))
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "xtick.color": "0.4",
    "ytick.color": "0.4",
    "grid.color": "0.92",
}

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


def boxes(
    image: Array,
    crops: Box | Array,
    *,
    names: Sequence[str] = ("a", "b"),
    height: int | None = None,
) -> np.ndarray:
    """The image with the outline of each crop in a colour of its own, and its name at a corner.

    Args:
      image: (H, W, 3), the original.
      crops: n boxes of this image, packed (n, 6) or `Box`. A crop of the mirrored image is drawn
        where its content is in the original, and named as flipped.
      names: of the n crops.   height: of the picture, see `fit`; None enlarges as `enlarge` does.
    """
    picture = enlarge(image) if height is None else fit(image, height)
    scale = picture.shape[0] / np.shape(image)[0]
    canvas = Image.fromarray(picture)
    draw, tags = ImageDraw.Draw(canvas), []
    fields = (np.atleast_1d(np.asarray(x, np.float64)) for x in Box.of(crops))
    for i, (top, left, rows, width, flip, frame) in enumerate(zip(*fields, strict=True)):
        left = frame - left - width if flip > 0.5 else left
        x0, y0, x1, y1 = (round(scale * c) for c in (left, top, left + width, top + rows))
        colour = PALETTE[i % len(PALETTE)]
        draw.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=colour, width=3)
        label = f"{names[i]} flipped" if flip > 0.5 else str(names[i])
        extent = round(draw.textlength(label, font=_font())) + 8
        # Tags of later crops sit at other corners, so that crops that coincide stay legible.
        x, y = x0 if i % 2 == 0 else x1 - extent, y0 if i % 4 < 2 else y1 - LINE
        tags.append((x, y, extent, label, colour))
    for x, y, extent, label, colour in tags:
        draw.rectangle((x, y, x + extent - 1, y + LINE - 1), fill=colour)
        draw.text((x + 4, y + LINE // 2), label, fill=PAPER, font=_font(), anchor="lm")
    return np.asarray(canvas)


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


def views(
    a: Images,
    *,
    b: Images | None = None,
    mask: Array | None = None,
    mix: Images | None = None,
    reconstruction: Images | None = None,
    original: Images | None = None,
    crops: Sequence[Array] | None = None,
    captions: Sequence[str] | None = None,
    height: int | None = None,
) -> np.ndarray:
    """What a method made of each sample, in rows: crops, view a, view b, mask, mix, prediction.

    Columns that are not given are left out. All images are uint8 or floats in [0, 1].

    Args:
      a, b, mix: the views and what was mixed of them, (N, H, W, 3).
      mask: (N, h, w) bool, True = visible or first image: shown over view a.
      reconstruction: predicted pixels of view a; its visible part is pasted in if there is a mask.
      original, crops: the whole images, and for each its (n, 6) boxes: drawn with `boxes`.
      captions, height: see `table`; the height is that of view a, enlarged, when None.
    """
    height = len(enlarge(a[0])) if height is None else height
    columns = {"image": original, "view a": a, "view b": b, "hidden": None, "mixed": mix}
    columns["predicted"] = reconstruction
    if mask is not None:
        columns["hidden"] = [overlay(x, m) for x, m in zip(a, mask, strict=True)]
        if reconstruction is not None:
            triples = zip(a, reconstruction, mask, strict=True)
            columns["predicted"] = [paste(*triple) for triple in triples]
    if original is not None and crops is not None:
        pairs = zip(original, crops, strict=True)
        columns["image"] = [boxes(*pair, height=height) for pair in pairs]
    columns = {title: images for title, images in columns.items() if images is not None}
    return table(columns, captions=captions, height=height)


def save(image: Array, path: str | Path) -> Path:
    """Writes a picture as PNG and returns its path."""
    picture = Image.fromarray(as_uint8(image))
    return written_by(path, functools.partial(picture.save, format="PNG", optimize=True))


def save_figure(figure, path: str | Path, *, title: str = "") -> Path:
    """Writes a figure with its title; a Figure without pyplot draws by Agg, without a display."""
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold", color="0.15")
    options = dict(format=Path(path).suffix.removeprefix(".") or "png", dpi=200, facecolor="white")
    return written_by(path, functools.partial(figure.savefig, **options))


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
