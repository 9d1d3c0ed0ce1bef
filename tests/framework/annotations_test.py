"""What is said of pixels as targets: as it is, without parameters, and never trained through."""

import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax.framework.codes import EncoderInput
from m3i_jax.types import Objects, View


def coded(encoder, data):
    image = EncoderInput(View(np.zeros((1, 5, 9, 3))), None, {}, {}, 0.0, None)
    of = {"a": image}.__getitem__
    features, updates = encoder.apply(EncoderInput(View(data), None, {}, {}, 0.0, None, of))
    assert encoder.stop_gradient and not updates and not encoder.slots
    return features


def test_categories_are_whole_numbers():
    mask = np.array([[[0, 3], [255, 1]]], np.uint8)
    index = coded(fw.categories(classes=4), mask).target_index
    assert index.dtype == np.int32 and fw.categories(classes=4).width({}) == 4
    np.testing.assert_array_equal(index, mask)


def test_depth_is_a_map():
    depth = np.float32([[[0.0, 2.5]]])
    (said,) = coded(fw.depths(), depth).maps
    assert said.shape == (1, 1, 2, 1) and fw.depths().width({}) == 1
    np.testing.assert_array_equal(said[..., 0], depth)


def test_key_points_are_shares_of_the_way_between_middles():
    # Images of 5 x 9 pixels: the middles of the first, of one between and of the last pixels.
    points = np.float32([[[0.5, 0.5, 2], [1.5, 2.5, 1], [4.5, 8.5, 0]]])
    assert fw.key_points(points=3).width({}) == 3
    said = coded(fw.key_points(points=3), points).tokens
    np.testing.assert_allclose(said, [[[0, 0, 2], [0.25, 0.25, 1], [1, 1, 0]]], rtol=1e-6)


@pytest.mark.parametrize("outlines", [False, True])
@pytest.mark.parametrize("counts", [False, True])
def test_objects_are_as_they_are_said_with_what_is_asked_for(outlines, counts):
    masks, shown = np.ones((2, 3, 5, 5), np.uint8), np.ones((2, 7), np.float32)
    said = Objects(np.ones((2, 3, 4)), np.zeros((2, 3), np.int32), masks, shown)
    encoder = fw.objects(categories=7, outlines=outlines, counts=counts)
    found = coded(encoder, said).objects
    assert encoder.width({}) == 7 and (found.masks is not None) == outlines
    assert (found.shown is not None) == counts
    method = fw.Method({"y": fw.Code("objects", encoder)}, {})
    assert (method.outlined, method.counted) == (outlines, counts)
    assert method.annotations == ("objects",)
