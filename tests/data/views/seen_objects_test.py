"""Objects of views: what is seen of an outline, in the places of a batch."""

import numpy as np
import pytest

from m3i_jax.data.sources import outlines
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.data.views import seen_objects
from m3i_jax.data.views.annotated import Wanted, row, seen

SIZE = (40, 60)  # of the image
DISCS = ((12, 14, 9), (25, 40, 13), (8, 52, 6))  # row, column, radius


def disc(row, column, radius):
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return np.stack([row + radius * np.sin(angles), column + radius * np.cos(angles)], 1)


def pixels(row, column, radius, size=SIZE):
    y, x = np.indices(size) + 0.5
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


def objects(kind="polygons"):
    corners = np.float32([[y - r, x - r, y + r, x + r] for y, x, r in DISCS])
    polygon = lambda d: (disc(*d).astype(np.float32),)  # noqa: E731
    runs = lambda d: outlines.encoded(pixels(*d))  # noqa: E731
    drawn = {"polygons": polygon, "runs": runs}.get(kind)
    return SampleObjects(
        corners.clip(0, [*SIZE, *SIZE]).astype(np.float32), np.int32([2, 0, 1]),
        np.array([False, False, True]), np.float32([np.pi * r * r for *_, r in DISCS]),
        tuple(map(drawn, DISCS)) if drawn else None,
    )  # fmt: skip


def masks_in_view(found, size):
    """(places, h, w) bool: the masks of a row, where their boxes are."""
    whole = np.zeros((len(found.corners), *size), bool)
    for n, ((top, left, bottom, right), mask) in enumerate(
        zip(found.corners, found.masks, strict=True)
    ):
        if found.categories[n] < 0:
            continue
        y, x = (np.arange(side) + 0.5 for side in size)
        rows = ((y - top) / (bottom - top) * mask.shape[0]).astype(int)
        columns = ((x - left) / (right - left) * mask.shape[1]).astype(int)
        there = ((y > top) & (y < bottom))[:, None] & ((x > left) & (x < right))
        clip = lambda at, n: at.clip(0, n - 1)  # noqa: E731
        taken = mask[clip(rows, len(mask))[:, None], clip(columns, len(mask[0]))]
        whole[n] = taken.astype(bool) & there
    return whole


@pytest.mark.parametrize("mirrored", [0, 1])
@pytest.mark.parametrize("kind, near", [("polygons", 0.02), ("runs", 0.06)])
def test_boxes_and_masks_of_a_cut_are_those_of_the_pixels_that_are_seen(kind, near, mirrored):
    # 28 x 42 pixels of the image in a view of twice the size, cut through the first two discs.
    box = np.array([6, 10, 28, 42, mirrored, SIZE[1]], np.float32)
    size = (56, 84)
    said = seen(Annotations(objects=objects(kind)), box, size)
    found = seen_objects.packed(said.objects, places=4, side=64)
    assert found.categories.tolist() == [2, 0, -1, -1]  # the third is a crowd
    assert not found.corners[2:].any() and not found.masks[2:].any()
    big = np.stack([
        pixels(2 * (y - 6), 2 * ((SIZE[1] - x if mirrored else x) - 10), 2 * r, size)
        for y, x, r in DISCS[:2]
    ])  # fmt: skip
    drawn = masks_in_view(found, size)[:2]
    for truth, mask, corners in zip(big, drawn, found.corners, strict=False):
        assert (truth ^ mask).sum() < near * truth.sum() + 4 * 2 * (kind == "runs")
        rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
        tight = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
        np.testing.assert_allclose(corners, tight, atol=2 if kind == "runs" else 1)


def test_boxes_without_outlines_are_cut_off_and_full():
    said = seen(Annotations(objects=objects("none")), np.float32([0, 0, 20, 60, 0, 60]), (20, 60))
    np.testing.assert_array_equal(said.objects.corners[:2], [[3, 5, 20, 23], [12, 27, 20, 53]])
    found = seen_objects.packed(said.objects, places=2, side=3)
    assert found.masks.all() and found.masks.dtype == np.uint8


def test_what_is_not_seen_is_not_there():
    far = np.float32([0, 0, 6, 6, 0, 60])  # the box of the first disc reaches in, not the disc
    assert not len(seen(Annotations(objects=objects()), far, (6, 6)).objects.corners)
    assert len(seen(Annotations(objects=objects("none")), far, (6, 6)).objects.corners) == 1


def test_the_largest_stay_where_there_are_too_few_places():
    found = seen_objects.packed(objects(), places=1)
    assert found.categories.tolist() == [0] and found.masks is None
    assert seen_objects.none(places=3, side=2).masks.shape == (3, 2, 2)


def test_a_row_of_a_batch_has_the_wanted_places():
    wanted = Wanted(["objects"], places=5, side=4)
    there = row(Annotations(objects=objects()), SIZE, wanted)
    assert there.objects.corners.shape == (5, 4) and there.objects.masks.shape == (5, 4, 4)
    silent = row(Annotations(), SIZE, wanted)
    assert there.present == {"objects": True} and silent.present == {"objects": False}
    assert (silent.objects.categories == -1).all() and there.objects.shown is None
    counted = Wanted(["objects"], places=5, shown=(3, 1, 2))
    for said in (Annotations(objects=objects()), Annotations()):
        shown = row(said, SIZE, counted).objects.shown
        np.testing.assert_array_equal(shown, np.float32([3, 1, 2]), strict=True)
