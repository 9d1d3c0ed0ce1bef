"""Anchors against a loop and counts of a published detector."""

import numpy as np
import pytest

from m3i_jax import detection

GRIDS = [(6, 5), (3, 3), (2, 1)]


def looped(grids, strides, sizes, ratios):
    for (height, width), stride, sides in zip(grids, strides, sizes, strict=True):
        yield np.array(
            [
                [i * stride - h / 2, j * stride - w / 2, i * stride + h / 2, j * stride + w / 2]
                for i in range(height)
                for j in range(width)
                for size in sides
                for ratio in ratios
                for w in [np.sqrt(size**2 / ratio)]
                for h in [ratio * w]
            ]
        )


@pytest.mark.parametrize("sizes", [((8,), (16,), (32,)), ((8, 10.5), (16, 20), (32, 40))])
def test_anchors_equal_a_loop(sizes):
    options = {"strides": (4, 8, 16), "sizes": sizes, "ratios": (0.5, 1.0, 2.0, 3.0)}
    got = detection.anchor_boxes(GRIDS, **options)
    assert [a.dtype for a in got] == [np.float32] * 3
    for one, want in zip(got, looped(GRIDS, *options.values()), strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-6, atol=1e-5)


def test_those_of_vitdet_at_1024_pixels_are_261888():
    got = detection.anchor_boxes([(256, 256), (128, 128), (64, 64), (32, 32), (16, 16)])
    assert [len(level) for level in got] == [3 * n * n for n in (256, 128, 64, 32, 16)]
    assert sum(map(len, got)) == 261888
    np.testing.assert_array_equal(got[0][1], [-16, -16, 16, 16])  # ratio 1 at the first cell
    for level, size in zip(got, (32, 64, 128, 256, 512), strict=True):
        np.testing.assert_allclose(detection.area(level), size**2, rtol=1e-5)
    np.testing.assert_allclose((got[0][:3, 2] / got[0][:3, 3]), [0.5, 1, 2], rtol=1e-6)


def test_levels_that_lack_a_size_are_refused():
    with pytest.raises(ValueError, match="anchors of 2 maps have 5 strides and 5 sizes"):
        detection.anchor_boxes([(4, 4), (2, 2)])
