"""Scenes of which everything is known: a bright square on a dark ground, of any size."""

import numpy as np

from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.data.sources.skeletons import STROKES


class Squares:
    """Category 1, 2 m away, on category 0, 4 m away; its corners and middle are key points."""

    name, classes, captions = "squares", (), list
    categories, skeleton, object_names = ("ground", "square"), STROKES, ("square",)

    def __init__(self, count=12, sizes=((16, 16),), silent=()):
        self.count, self.sizes, self.silent = count, sizes, silent

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        height, width = self.sizes[index % len(self.sizes)]
        side = int(rng.integers(5, 9))
        top, left = (int(rng.integers(0, n - side + 1)) for n in (height, width))
        inside = np.zeros((height, width), bool)
        inside[top : top + side, left : left + side] = True
        image = np.where(inside[..., None], 220, 30).astype(np.uint8).repeat(3, -1)
        if index in self.silent:
            return Sample(image)
        ends = [(0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1), (0.5, 0.5)]
        points = [[top + y * side, left + x * side, 2] for y, x in ends]
        return Sample(
            image,
            mask=inside.astype(np.uint8),
            box=np.float32([top, left, side, side]),
            depth=np.where(inside, 2, 4).astype(np.float32),
            points=np.float32(points),
            objects=_one([top, left, top + side, left + side]),
        )

    def fingerprint(self):
        return f"{self.count} {self.sizes} {self.silent}"


def _one(corners):
    """A square as the one object of its scene."""
    corners = np.float32([corners])
    outline = np.float32(
        [corners[0, [0, 1]], corners[0, [0, 3]], corners[0, [2, 3]], corners[0, [2, 1]]]
    )
    area = np.float32([(corners[0, 2] - corners[0, 0]) * (corners[0, 3] - corners[0, 1])])
    return SampleObjects(corners, np.zeros(1, np.int32), np.zeros(1, bool), area, ((outline,),))
