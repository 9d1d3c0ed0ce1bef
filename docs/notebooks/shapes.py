"""A folder of small pictures to try things on: circles, squares and triangles on blurred noise."""

import pathlib

import numpy as np
from PIL import Image, ImageDraw

KINDS = {"circle": 0, "square": 4, "triangle": 3}  # corners
SIDE = 48  # pixels


def draw(corners: int, rng: np.random.Generator) -> Image.Image:
    """One shape of any place, size, colour and turn."""
    noise = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    image = noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    x, y, radius, turn = map(int, rng.integers((14, 14, 8, 0), (34, 34, 13, 360)))
    pen, colour = ImageDraw.Draw(image), tuple(map(int, rng.integers(0, 256, 3)))
    if corners:
        pen.regular_polygon((x, y, radius), corners, turn, colour)
    else:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
    return image


def folder(root: str | pathlib.Path, *, each: int) -> pathlib.Path:
    """Writes `each` pictures of every kind to root/KIND/NUMBER.png; equal calls, equal pictures."""
    rng = np.random.default_rng(0)
    for kind, corners in KINDS.items():
        place = pathlib.Path(root) / kind
        place.mkdir(parents=True, exist_ok=True)
        for number in range(each):
            draw(corners, rng).save(place / f"{number:04}.png")
    return pathlib.Path(root)
