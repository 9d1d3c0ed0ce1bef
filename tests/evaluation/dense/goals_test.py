"""Dense measures, from one image to all of them."""

import numpy as np

from m3i_jax.data.sources.protocol import Sample
from m3i_jax.evaluation.dense import goals

RNG = np.random.default_rng(0)
IMAGE = np.zeros((6, 7, 3), np.uint8)


def test_categories_of_two_images():
    goal = goals.of_categories(2)
    logits = np.zeros((6, 7, 2), np.float32)
    logits[:3, :, 1] = 1  # the upper half is 1
    half = np.zeros((6, 7), np.uint8)
    half[:3] = 1
    rows = [goal.row(logits, Sample(IMAGE, mask=mask)) for mask in (half, 1 - half)]
    numbers, intervals = goal.total(rows)
    # One is right, one is wrong: of each category half, in unions that are twice as large.
    assert numbers["pixel_accuracy"] == 0.5 and abs(numbers["miou"] - 1 / 3) < 1e-12
    assert intervals["miou"] == (0, 1)
    assert goal.row(logits, Sample(IMAGE)) is None
    np.testing.assert_array_equal(goal.guess([Sample(IMAGE, mask=half * 0)]), [42, 0])
    assert goal.guess([Sample(IMAGE)]) is None


def test_depth_is_a_mean_over_images():
    goal = goals.of_depth(maximum=5.0)
    depth = RNG.uniform(1, 4, (6, 7)).astype(np.float32)
    depth[0] = 0
    said = np.full((6, 7, 1), 2.0, np.float32)
    rows = [goal.row(said, Sample(IMAGE, depth=d)) for d in (depth, depth * 0 + 2)]
    numbers, intervals = goal.total(rows)
    error = np.sqrt(((depth[1:] - 2.0) ** 2).mean())
    np.testing.assert_allclose(numbers["rmse"], error / 2, rtol=1e-5)
    low, high = intervals["rmse"]
    assert low < numbers["rmse"] < high
    geometric = np.exp(np.log(depth[1:]).mean())
    np.testing.assert_allclose(goal.guess([Sample(IMAGE, depth=depth)]), [geometric], rtol=1e-5)
