"""Outlines beside pycocotools and the definition: parity at points, whole pixels, bounds."""

import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3i_jax.data.sources import outlines
from m3i_jax.data.sources.outlines import Runs

PIXELS = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).random(drawn[:2]) < (drawn[2] % 5) / 4
)
POLYGONS = st.lists(st.tuples(*[st.floats(-3, 13, width=32)] * 2), min_size=3, max_size=8).map(
    lambda points: np.array(points, np.float32)
)


def by_ray(polygon, row, column):
    """Whether a ray from a place to the right meets the polygon an odd number of times."""
    sides = 0
    for (y0, x0), (y1, x1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (y0 <= row) != (y1 <= row):
            sides += column >= x0 + (row - y0) / (y1 - y0) * (x1 - x0)
    return sides % 2 == 1


@given(PIXELS)
@settings(max_examples=60, deadline=None)
def test_runs_are_those_of_coco(pixels):
    runs = outlines.encoded(pixels)
    np.testing.assert_array_equal(outlines.decoded(runs), pixels, strict=True)
    theirs = pycocotools.mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert outlines.text(runs) == theirs["counts"].decode()
    for counts in (theirs["counts"].decode(), runs.counts.tolist()):
        read = outlines.of_coco({"size": [*pixels.shape], "counts": counts})
        assert read.size == runs.size and outlines.fits(read, pixels.shape)
        np.testing.assert_array_equal(read.counts, runs.counts, strict=True)
    assert outlines.area(runs) == pixels.sum()
    assert not outlines.fits(runs, (pixels.shape[0] + 1, pixels.shape[1]))


def test_runs_of_a_large_image():
    pixels = np.random.default_rng(0).random((300, 700)) < 1e-4
    pixels[100:200] = True
    theirs = pycocotools.mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert outlines.text(outlines.encoded(pixels)) == theirs["counts"].decode()
    one = outlines.of_coco({"size": [300, 700], "counts": theirs["counts"].decode()})
    np.testing.assert_array_equal(outlines.decoded(one), pixels)


@given(st.lists(POLYGONS, min_size=1, max_size=2), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_mask_of_polygons_is_what_their_points_say(polygons, samples):
    frame, size = np.array([-0.37, 1.21, 9.45, 11.83]), (5, 4)
    mask = outlines.mask(tuple(polygons), frame, size, samples=samples)
    rows, columns = (
        frame[a]
        + (np.arange(size[a] * samples) + 0.5) * (frame[a + 2] - frame[a]) / size[a] / samples
        for a in (0, 1)
    )
    hit = [[any(by_ray(np.float64(one), y, x) for one in polygons) for x in columns] for y in rows]
    share = np.reshape(hit, (size[0], samples, size[1], samples)).mean((1, 3))
    np.testing.assert_array_equal(mask, share >= 0.5)
    assert mask.dtype == np.uint8


def test_polygons_of_whole_pixels_are_what_coco_makes_of_them():
    square = [[2, 3, 7, 3, 7, 9, 2, 9]]  # x, y
    polygons = outlines.of_coco(square)
    np.testing.assert_array_equal(polygons[0][0], [3, 2])
    theirs = pycocotools.mask.decode(pycocotools.mask.frPyObjects(square, 12, 10))[..., 0]
    ours = outlines.mask(polygons, np.array([0, 0, 12, 10]), (12, 10), samples=1)
    np.testing.assert_array_equal(ours, theirs)
    assert outlines.area(polygons) == theirs.sum() == 30
    assert outlines.to_coco(polygons) == square


@given(PIXELS, st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_mask_of_runs_is_a_look_at_its_pixels(pixels, beyond):
    runs, (height, width) = outlines.encoded(pixels), pixels.shape
    frame = np.array([-beyond, -beyond, height + beyond, width + beyond])
    size = height + 2 * beyond, width + 2 * beyond
    np.testing.assert_array_equal(outlines.mask(runs, frame, size), np.pad(pixels, beyond))
    part = np.array([0, 0, height, width / 2])
    doubled = outlines.mask(runs, part, (2 * height, 2 * width), samples=1)
    expected = np.repeat(np.repeat(pixels, 2, 0), 4, 1)[:, : 2 * width]
    np.testing.assert_array_equal(doubled, expected)


@given(PIXELS)
@settings(max_examples=40, deadline=None)
def test_bounds_of_runs(pixels):
    frame = np.array([0.5, 1, 5.25, 30])
    rows, columns = np.nonzero(pixels)
    near = (rows + 1 > 0.5) & (rows < 5.25) & (columns >= 1)
    found = outlines.bounds(outlines.encoded(pixels), frame)
    if not near.any():
        assert found is None
        return
    rows, columns = rows[near], columns[near]
    low, high = np.stack([rows, columns]).min(1), np.stack([rows, columns]).max(1) + 1
    np.testing.assert_array_equal(
        found, [*np.maximum(low, frame[:2]), *np.minimum(high, frame[2:])]
    )


@given(POLYGONS)
@settings(max_examples=60, deadline=None)
def test_bounds_of_polygons_hold_what_a_fine_mask_shows(polygon):
    frame, cells = np.array([0.5, 1, 8.5, 9]), 64
    found = outlines.bounds((polygon,), frame)
    shown = np.argwhere(outlines.mask((polygon,), frame, (cells, cells), samples=1))
    places = frame[:2] + (shown + 0.5) * 8 / cells
    if found is None:
        assert not len(shown)
        return
    assert (found[:2] >= frame[:2]).all() and (found[2:] <= frame[2:]).all()
    if len(shown):
        assert (places >= found[:2] - 1e-6).all() and (places <= found[2:] + 1e-6).all()


def test_bounds_reach_no_further_than_what_is_seen():
    triangle = np.array([[-4, 5], [6, -5], [6, 5]], np.float32)  # its long edge cuts off a corner
    np.testing.assert_allclose(outlines.bounds((triangle,), [0, 0, 8, 8]), [0, 0, 6, 5])
    np.testing.assert_allclose(outlines.bounds((triangle,), [0, 0, 8, 4]), [0, 0, 6, 4])
    np.testing.assert_allclose(outlines.bounds((triangle,), [2, 1, 3, 2]), [2, 1, 3, 2])
    np.testing.assert_allclose(outlines.bounds((triangle,), [-1, 0, 8, 8]), [-1, 0, 6, 5])
    assert outlines.bounds((triangle,), [0, 5.5, 8, 8]) is None
    u = np.array([[0, 0], [6, 0], [6, 6], [0, 6], [0, 5], [5, 5], [5, 1], [0, 1]], np.float32)
    np.testing.assert_allclose(outlines.bounds((u,), [-1, 2, 4, 9]), [0, 5, 4, 6])


def test_outlines_move_with_their_image():
    pixels = np.random.default_rng(1).random((4, 6)) < 0.5
    runs = outlines.moved(outlines.encoded(pixels), lambda at: at, lambda plane: plane[:, ::-1])
    np.testing.assert_array_equal(outlines.decoded(runs), pixels[:, ::-1])
    one = np.array([[0, 1], [2, 3], [0, 5]], np.float32)
    (moved,) = outlines.moved((one,), lambda at: at * 2.0, lambda plane: plane)
    np.testing.assert_array_equal(moved, 2 * one, strict=True)
    assert outlines.fits((one,), (9, 9)) and outlines.fits((), (9, 9)) is False
    assert not outlines.fits((one[:2],), (9, 9)) and not outlines.fits((one + np.inf,), (9, 9))
    assert not outlines.fits(Runs((4, 6), np.array([20, 4])[:1]), (4, 6))


@pytest.mark.parametrize(
    "said, why",
    [
        (7, "neither polygons nor runs"), ([], "neither polygons nor runs"),
        ([[1, 2, 3, 4]], "no three places"), ([[1, 2, 3, 4, 5, 6, 7]], "no three places"),
        ([["a"] * 6], "other things than numbers"), ([[1, 2, 3, 4, 5, 1e39]], "no three places"),
        ({"size": [2], "counts": [4]}, r"of an image of \[2\]"),
        ({"size": [0, 2], "counts": [0]}, "of an image of"),
        ({"size": [2, 2], "counts": [3]}, "have 3 pixels, the image 2 x 2"),
        ({"size": [2, 2], "counts": [-1, 5]}, "no numbers of pixels"),
        ({"size": [2, 2], "counts": None}, "no numbers of pixels"),
        ({"size": [2, 2], "counts": "4\u00e9"}, "stands for no number"),
        ({"size": [2, 2], "counts": "T"}, "end within a number"),
        ({"size": [2, 2], "counts": "o" * 12}, "stands for no number"),
    ],
)  # fmt: skip
def test_what_is_no_outline_is_a_sentence(said, why):
    with pytest.raises(ValueError, match=why):
        outlines.of_coco(said)
