"""Depth and key points of digit scenes: what the layers say, and nothing else is changed."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.data.sources.scene_geometry import depth, points
from m3i_jax.data.sources.scene_materials import LEVELS

pytest.importorskip("sklearn")
pytest.importorskip("skimage")


def test_points_of_a_cross_are_its_ends_and_its_middle():
    digit = np.zeros((9, 12), bool)
    digit[1:8, 5] = digit[4, 2:10] = True
    found = points(digit)
    np.testing.assert_array_equal(found[:4, :2], [[1.5, 5.5], [7.5, 5.5], [4.5, 2.5], [4.5, 9.5]])
    np.testing.assert_allclose(found[4, :2], np.argwhere(digit).mean(0) + 0.5, atol=1e-6)
    assert (found[:, 2] == 2).all() and found.dtype == np.float32


def test_digits_are_nearer_than_any_ground_and_larger_ones_nearest():
    digit = np.zeros((20, 20), bool)
    digit[8:12, 8:12] = True
    for level in LEVELS:
        small, large = (depth(digit, share * 20, level) for share in (0.05, 0.9))
        np.testing.assert_allclose(small[digit], 3.0, rtol=1e-6)
        np.testing.assert_allclose(large[digit], 0.15 / 0.9, rtol=1e-6)
        assert small[digit].max() < small[~digit].min()
        inverse = 1 / small[:, 0].astype(float)  # a plane: linear from row to row
        np.testing.assert_allclose(np.diff(inverse), np.diff(inverse)[0], rtol=1e-4)
        assert (np.diff(small[:, 0]) < 0).all() and small.max() < 10


def test_scenes_have_them_when_asked_and_are_otherwise_as_they_were():
    block = dict(name="digit_scenes", length=20, size=32)
    plain, dense = (data.source(block | more, split="train") for more in ({}, {"dense": True}))
    assert plain[3].depth is None and plain[3].points is None
    assert plain.fingerprint() != dense.fingerprint()
    assert data.source(block | {"dense": False}, split="train").fingerprint() == plain.fingerprint()
    for i in (0, 7, 19):
        one, other, scene = plain[i], dense[i], dense.scene(i)
        for a, b in zip(one[:5], other[:5], strict=True):
            np.testing.assert_array_equal(a, b)
        digit = other.mask > 0
        np.testing.assert_allclose(other.depth[digit], 0.15 * 32 / scene.tall, rtol=1e-6)
        top, left, height, width = other.box
        ends = other.points[:4, :2]
        assert (ends[0, 0], ends[1, 0]) == (top + 0.5, top + height - 0.5)
        assert (ends[2, 1], ends[3, 1]) == (left + 0.5, left + width - 0.5)
        assert dense.categories[other.label + 1] == dense.classes[other.label]
    assert len(dense.skeleton.names) == len(dense[0].points)
