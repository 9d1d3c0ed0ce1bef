"""Turned views: pixels, planes and places go the same way, and UDP's map is the published one."""

import math

import numpy as np

from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.data.views import affine, annotated
from m3i_jax.types import Box
from tests.data.views.landmarks import RADIUS, WANTED, agree, scene

SHAPE = np.float32([[30, 40], [30, 90], [80, 60]])
THINGS = SampleObjects(
    np.float32([[30, 40, 80, 90]]), np.int32([1]), np.zeros(1, bool), np.float32([1250]),
    ((SHAPE,),),
)  # fmt: skip


def test_landmarks_are_where_their_pixels_are():
    sample, rng, found = scene(), np.random.default_rng(0), 0
    for _ in range(20):
        mirrored = 160 * int(rng.integers(2))
        extent = rng.uniform(80, 220, 2)
        frame = rng.uniform(40, 80, 2), extent
        size = (96, 72)
        to_view = affine.framed(*frame, size, angle=rng.uniform(-4, 4), mirrored=mirrored)
        view = affine.warped(sample.image, to_view, size)
        said = affine.seen(WANTED.said(sample), to_view, size, swapped=WANTED.swapped)
        radius = RADIUS * (96 / extent).max()
        found += agree(view, annotated.row(said, size, WANTED), radius, swapped=mirrored > 0)
        assert to_view.mirrors == (mirrored > 0)
    assert found > 15


def test_a_frame_is_mapped_to_the_middles_of_the_outermost_pixels():
    """Against the formula of UDP in indices of pixels, whose middles are whole numbers."""
    centre, extent, size, angle = np.array([33.0, 21.5]), np.array([80.0, 60.0]), (64, 48), 0.7
    to_view = affine.framed(centre, extent, size, angle=angle)
    x, y = np.random.default_rng(2).uniform(0, 60, (2, 9))
    cx, cy = centre[1] - 0.5, centre[0] - 0.5
    cos, sin = math.cos(angle), math.sin(angle)
    column = (47 / 60) * (cos * (x - cx) - sin * (y - cy) + 30)
    row = (63 / 80) * (sin * (x - cx) + cos * (y - cy) + 40)
    found = to_view.places(np.stack([y, x], -1) + 0.5) - 0.5
    np.testing.assert_allclose(found, np.stack([row, column], -1), atol=1e-9)
    np.testing.assert_allclose(to_view.inverse.places(found + 0.5), np.stack([y, x], -1) + 0.5)


def test_a_packed_box_is_the_same_map():
    sample = scene()
    said = Annotations(sample.mask, sample.box, sample.depth, sample.points, THINGS)
    for mirrored in (0, 1):
        box = np.array([11.4, 20.3, 90, 130, mirrored, 160], np.float32)
        size = (60, 52)
        one = annotated.seen(said, box, size, swapped=[(0, 1)])
        other = affine.seen(said, affine.of_box(box, size), size, swapped=[(0, 1)])
        for a, b in zip(one[:4], other[:4], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
        for a, b in zip(one.objects[:4], other.objects[:4], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)
        for a, b in zip(one.objects.outlines, other.objects.outlines, strict=True):
            np.testing.assert_allclose(a[0], b[0], atol=1e-3)
    assert Box.of(box).flip == 1


def test_the_box_of_a_turned_object_is_the_smallest_upright_one():
    quarter = affine.Affine(np.array([[0.0, 2.0], [-2.0, 0.0]]), np.array([0.0, 200.0]))
    found = affine.seen(Annotations(objects=THINGS), quarter, (200, 200)).objects
    # Rows are columns, doubled; columns are rows from the right.
    np.testing.assert_allclose(found.corners, [[80, 40, 180, 140]], atol=1e-4)
    np.testing.assert_allclose(found.outlines[0][0], [[80, 140], [180, 140], [120, 40]], atol=1e-4)
    assert found.area == 5000
