"""Maps at points, in loops of float64; points that are drawn, and those that are in doubt."""

import math

import jax
import numpy as np

from m3i_jax.detection import points as drawing


def read_(map_, row, column):
    """Linear between the centres of four cells, 0 outside the map."""
    total = 0.0
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < map_.shape[0] and 0 <= j < map_.shape[1]:
                total += map_[i, j] * (1 - abs(row - i)) * (1 - abs(column - j))
    return total


def test_all_maps_at_the_same_points_and_each_at_its_own():
    rng = np.random.default_rng(0)
    maps = np.float32(rng.normal(size=(2, 3, 4, 5)))
    points = np.float32(rng.uniform(-0.2, 1.2, size=(2, 6, 2)))
    points[0, :3] = (0, 0), (1, 1), (0.5 / 4, 0.5 / 5)  # corners, and the centre of a cell
    places = np.float32(points * (4, 5) - 0.5)
    got = drawing.point_sample(maps, points)
    each = drawing.point_sample_each(maps, np.repeat(places[:, None], 3, axis=1))
    want = np.zeros((2, 3, 6))
    for b, m, p in np.ndindex(want.shape):
        want[b, m, p] = read_(maps[b, m], *np.float64(places[b, p]))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(each, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(want[0, :, 2], maps[0, :, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(want[0, :, 0], maps[0, :, 0, 0] / 4, rtol=1e-6)
    ones = np.float32(maps > 0)
    np.testing.assert_array_equal(
        drawing.point_sample(np.uint8(ones), points), drawing.point_sample(ones, points)
    )


def test_gradients_lie_on_the_cells_that_are_read():
    """A sum of reads is a sum of cells by their weights, and that is its gradient."""
    rng = np.random.default_rng(1)
    maps, points = (
        np.float32(rng.normal(size=(1, 2, 3, 3))),
        np.float32(rng.uniform(size=(1, 4, 2))),
    )
    grad = jax.grad(lambda x: drawing.point_sample(x, points).sum())(maps)
    np.testing.assert_allclose(
        (grad * maps).sum(), drawing.point_sample(maps, points).sum(), rtol=1e-5
    )
    np.testing.assert_array_equal(grad[:, 0], grad[:, 1])


def test_as_many_points_as_the_paper_has():
    drawn = drawing.random_points(
        jax.random.key(0), 2, 3, points=12544, oversampled=3.0, doubtful=0.75
    )
    assert [x.shape for x in drawn] == [(2, 3, n, 2) for n in (12544, 3 * 12544, 3136)]
    each = np.concatenate([np.asarray(x).reshape(-1) for x in drawn])
    assert each.min() >= 0 and each.max() < 1 and len(np.unique(each)) > 0.9 * len(each)
    assert abs(each.mean() - 0.5) < 3e-3  # 7 deviations of a mean of 640 000


def test_doubt_is_nearness_to_zero():
    logits = np.float32([[3, -0.1, 0.2, -5, 0], [1, 2, 3, 4, -0.5]])
    got = np.sort(drawing.most_uncertain(logits, 2), axis=1)
    np.testing.assert_array_equal(got, [[1, 4], [0, 4]])
