"""Scenes whose image, mask, depth, box and key points name the same places."""

import numpy as np

from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views.annotated import Wanted

MARKS = ((24, 31), (60, 121), (92, 70))  # rows and columns of the middles of disks, one a colour
RADIUS = 7
WANTED = Wanted(["mask", "box", "depth", "points"], points=3, swapped=[(0, 1)], upper=[0, 1])


def scene(height=120, width=160):
    """Black, with a disk of red, green and blue; mask n + 1, depth 1.5 (n + 1), points in them."""
    rows, columns = np.indices((height, width)) + 0.5
    image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    for n, (row, column) in enumerate(MARKS):
        inside = (rows - row) ** 2 + (columns - column) ** 2 < RADIUS**2
        image[inside, n], mask[inside] = 255, n + 1
    points = np.array([[*mark, 2] for mark in MARKS], np.float32)
    box = np.array([10, 20, 100, 120], np.float32)
    return Sample(image, 4, "", mask, box, mask * np.float32(1.5), points)


def middle(weight):
    """(row, column) of the middle of (h, w) weights."""
    rows, columns = np.indices(weight.shape) + 0.5
    weight = weight.astype(np.float64)
    return np.array([(weight * rows).sum(), (weight * columns).sum()]) / weight.sum()


def agree(view, said, radius, *, swapped=False, atol=0.5):
    """Asserts that a view and its annotations name the same places; how many disks were whole.

    radius: largest of a disk in the view.   swapped: whether the first two points have changed
    places.
    """
    size, whole = np.array(view.shape[:2]), 0
    np.testing.assert_array_equal(said.depth > 0, (said.mask > 0) & (said.mask < 255))
    real = said.mask < 255
    np.testing.assert_allclose(said.depth[real], said.mask[real] * 1.5)
    order = [1, 0, 2] if swapped else [0, 1, 2]
    for n, point in enumerate(said.points[order]):
        if (point[:2] < radius + 1).any() or (point[:2] > size - radius - 1).any():
            continue
        whole += 1
        assert point[2] == 2
        colour = view[..., n].astype(float) * (view.argmax(-1) == n)
        np.testing.assert_allclose(middle(colour), point[:2], atol=atol)
        np.testing.assert_allclose(middle(said.mask == n + 1), point[:2], atol=atol)
    beyond = ((said.points[:, :2] < 0) | (said.points[:, :2] > size)).any(1)
    assert not said.points[beyond, 2].any() and said.points[~beyond, 2].all()
    return whole
