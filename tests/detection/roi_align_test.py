"""ROIAlign against a loop over samples that is written from the rule, and by planes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import detection
from m3i_jax.detection import roi_align

RNG = np.random.default_rng(11)


def sampled(image, y, x):
    """Samples of (H, W, C) at points (n,), (n,), linear between the centres of cells."""
    height, width = image.shape[:2]
    outside = (y < -1) | (y > height) | (x < -1) | (x > width)
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    i, j = y.astype(int), x.astype(int)
    below, right = np.minimum(i + 1, height - 1), np.minimum(j + 1, width - 1)
    v, u = (y - i)[:, None], (x - j)[:, None]
    top = (1 - u) * image[i, j] + u * image[i, right]
    value = (1 - v) * top + v * ((1 - u) * image[below, j] + u * image[below, right])
    return np.where(outside[:, None], 0, value)


def looped(image, box, size, stride):
    """Every bin as the mean of its samples, in float64."""
    image, box = np.float64(image), np.float64(box) / stride - 0.5
    bins = (box[2:] - box[:2]) / size
    counts = np.maximum(np.ceil(bins).astype(int), 0)
    out = np.zeros((*size, image.shape[-1]))
    for place in np.ndindex(*size) if counts.all() else ():
        sample = np.indices(counts).reshape(2, -1)
        y, x = (box[:2] + (place + (sample.T + 0.5) / counts) * bins).T
        out[place] = sampled(image, y, x).mean(0)
    return out


def boxes_around(height, width, count):
    """Inside, partly and wholly outside, larger than the image, thin, empty, inside out."""
    middle = RNG.uniform(-0.3, 1.3, (count, 2)) * [height, width]
    half = np.exp(RNG.uniform(-2, 1, (count, 2))) * [height / 2, width / 2]
    boxes = np.concatenate([middle - half, middle + half], -1)
    boxes[:6] = [
        [0, 0, height, width],
        [5, 5, 5, 9],
        [9, 9, 3, 14],
        [-50, -50, -20, -20],
        [0, 7.25, height, 7.5],
        [-0.5 * height, 0.25 * width, 2 * height, 3 * width],
    ]
    return boxes.astype(np.float32)


@pytest.mark.parametrize("size, stride", [((7, 7), 4), ((3, 5), 1), ((14, 14), 8)])
def test_a_grid_equals_the_loop_over_samples(size, stride):
    maps = RNG.normal(size=(2, 13, 18, 2)).astype(np.float32)
    boxes = np.stack([boxes_around(13 * stride, 18 * stride, 20) for _ in range(2)])
    got = jax.jit(functools.partial(detection.roi_aligned, size=size, stride=stride))(maps, boxes)
    want = [[looped(m, b, size, stride) for b in bs] for m, bs in zip(maps, boxes, strict=True)]
    # Coordinates of samples are rounded to 2e-6 of a cell at 30 cells.
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert not np.asarray(got)[:, 1:4].any() and np.asarray(got)[:, 0].all()


def test_boxes_of_thousands_of_pixels_equal_the_loop():
    """Hundreds of samples in a bin, most of them outside."""
    maps = RNG.normal(1, 1, size=(1, 40, 30, 1)).astype(np.float32)
    boxes = np.float32([[[-3000, -20, 3000, 60], [-5, -4000, 33, 100], [-400, -400, 1400, 800]]])
    got = detection.roi_aligned(maps, boxes, size=(7, 7))
    want = [[looped(maps[0], b, (7, 7), 1) for b in boxes[0]]]
    # A sample lies 1e-4 of a cell beside its place where the box begins 3000 cells before the map.
    for one, two in zip(got[0], want[0], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4 * np.abs(two).max())
        assert two.any()


def test_a_plane_is_read_exactly():
    """The mean of samples that are symmetric around the centre of a bin is the plane there."""
    rows, columns = np.mgrid[:32, :32].astype(np.float32)
    plane = (2 * rows - 3 * columns + 1)[None, ..., None]
    box = np.float32([[[8.3, 10, 91.7, 100]]])
    got = detection.roi_aligned(plane, box, size=(5, 4), stride=4)[0, 0, ..., 0]
    y = (8.3 + (np.arange(5) + 0.5) * (83.4 / 5)) / 4 - 0.5
    x = (10 + (np.arange(4) + 0.5) * (90 / 4)) / 4 - 0.5
    np.testing.assert_allclose(got, 2 * y[:, None] - 3 * x + 1, rtol=1e-5, atol=1e-4)


def test_gradients_reach_the_maps_as_the_transpose_of_the_loop_says():
    """The grid is linear in the map: its gradient is the loop applied to every cell alone."""
    box, size = boxes_around(24, 20, 9), (3, 2)
    weights = RNG.normal(size=(9, *size, 1)).astype(np.float32)
    maps = RNG.normal(size=(1, 6, 5, 1)).astype(np.float32)
    fn = lambda m, b: (detection.roi_aligned(m, b, size=size, stride=4)[0] * weights).sum()  # noqa: E731
    got, of_boxes = jax.grad(fn, (0, 1))(maps, box[None])
    want = np.zeros((6, 5))
    for cell in np.ndindex(6, 5):
        one = np.zeros((6, 5, 1))
        one[cell] = 1
        want[cell] = sum(
            (looped(one, b, size, 4) * w).sum() for b, w in zip(box, weights, strict=True)
        )
    np.testing.assert_allclose(got[0, ..., 0], want, atol=1e-5)
    assert not np.asarray(of_boxes).any()


MAPS = [RNG.normal(size=(2, n, n, 3)).astype(np.float32) for n in (64, 32, 16, 8)]


def test_each_box_is_read_from_the_map_of_its_size():
    boxes = np.stack([boxes_around(256, 256, 30) for _ in range(2)])
    boxes[0, 6:10, 2:] = boxes[0, 6:10, :2] + [[112], [111.9], [224], [448]]
    got = jax.jit(functools.partial(detection.roi_aligned_by_level, size=(7, 7)))(MAPS, boxes)
    level = np.asarray(detection.level_of(boxes))
    np.testing.assert_array_equal(level[0, 6:10], [1, 0, 2, 3])
    assert {*level.ravel()} == {0, 1, 2, 3}
    for i, stride in enumerate((4, 8, 16, 32)):
        want = np.asarray(detection.roi_aligned(MAPS[i], boxes, size=(7, 7), stride=stride))
        np.testing.assert_allclose(np.asarray(got)[level == i], want[level == i], atol=1e-6)


def test_levels_are_those_of_the_published_rule():
    side = np.exp(RNG.uniform(np.log(4), np.log(2000), 500))
    ratio = np.exp(RNG.uniform(-1, 1, 500))
    boxes = np.stack([0 * side, 0 * side, side * ratio, side / ratio], -1).astype(np.float32)
    wanted = np.clip(np.floor(4 + np.log2(side / 224 + 1e-8)), 2, 5) - 2
    np.testing.assert_array_equal(detection.level_of(boxes), wanted)
    exact = np.float32([[0, 0, s, s] for s in (56, 112, 224, 448, 896)])
    np.testing.assert_array_equal(detection.level_of(exact), [0, 1, 2, 3, 3])
    got = detection.level_of(exact, strides=(8.0, 16.0, 32.0, 64.0, 128.0), side=112.0)
    np.testing.assert_array_equal(got, [0, 1, 2, 3, 4])
    assert detection.level_of(np.float32([8, 8, 3, 3])) == 0


def test_boxes_in_parts_have_the_same_grids_and_gradients(monkeypatch):
    boxes = np.stack([boxes_around(256, 256, 23) for _ in range(2)])
    weights = RNG.normal(size=(2, 23, 7, 7, 3)).astype(np.float32)

    def loss(maps):
        grids = detection.roi_aligned_by_level(maps, boxes, size=(7, 7))
        return (grids * weights).sum(), grids

    run = lambda: jax.jit(jax.value_and_grad(loss, has_aux=True))(MAPS)  # noqa: E731
    (_, whole), whole_grads = run()
    monkeypatch.setattr(roi_align, "BYTES", 4 * 7 * 64 * 3 * 5)  # five at a time
    jax.clear_caches()
    (_, parts), grads = run()
    # Another program rounds coordinates of 64 cells elsewhere, by 4e-6.
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    for one, two in zip(grads, whole_grads, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("size, stride", [((7, 7), 4), ((14, 14), 1)])
def test_boxes_that_touch_few_cells_of_a_large_map_are_read_from_windows_of_it(
    monkeypatch, size, stride
):
    monkeypatch.setattr(roi_align, "WINDOW", 16)
    maps = RNG.normal(size=(2, 45, 70, 2)).astype(np.float32)
    boxes = np.stack([boxes_around(45 * stride, 70 * stride, 30) for _ in range(2)])
    # As long as a window, on either side of a cell; of a cell's width; at the edges.
    far = roi_align.WINDOW - 2
    boxes[0, 6:14] = stride * np.float32([
        [1.5, 3.5, 2.5 + far, 4], [1.4, 3, 2.6 + far, 4], [0, 69, 1, 70], [44.6, 0, 46, 90],
        [-3, -3, 2, 2], [20, 60, 90, 75], [10, 10.2, 10.1, 10.3], [7, 9, 19, 21],
    ])  # fmt: skip
    fn = lambda m: detection.roi_aligned(m, boxes, size=size, stride=stride)  # noqa: E731
    got, pull = jax.vjp(jax.jit(fn), maps)
    want = [[looped(m, b, size, stride) for b in bs] for m, bs in zip(maps, boxes, strict=True)]
    np.testing.assert_allclose(got, want, atol=2e-5)
    readings, own = roi_align._readings([maps], boxes, np.zeros((2, 30), np.int32), (stride,))
    assert [one.windowed for one in readings] == [True, False]
    assert 10 < (np.asarray(own) == 0).sum() < 50
    # And none from windows, values and gradients.
    weights = RNG.normal(size=got.shape).astype(np.float32)
    whole = lambda m: roi_align._grids(m, boxes, size, readings[1])  # noqa: E731
    (expected,) = jax.vjp(jax.jit(whole), maps)[1](weights)
    np.testing.assert_allclose(pull(weights)[0], expected, atol=1e-4)


def test_half_way_products_of_many_boxes_stay_small():
    """512 boxes of a 1024 pixel image: 7 x 256 x 256 numbers of each would be 940 MB."""
    maps = [jax.ShapeDtypeStruct((1, n, n, 256), jnp.float32) for n in (256, 128, 64, 32)]
    boxes = jax.ShapeDtypeStruct((1, 512, 4), jnp.float32)
    fn = lambda m, b: jnp.square(detection.roi_aligned_by_level(m, b, size=(7, 7))).sum()  # noqa: E731
    used = jax.jit(jax.grad(fn)).lower(maps, boxes).compile().memory_analysis()
    assert used.temp_size_in_bytes < 500e6


def test_what_does_not_fit_together_is_refused():
    box = np.zeros((2, 1, 4), np.float32)
    with pytest.raises(ValueError, match="3 maps have 4 strides"):
        detection.roi_aligned_by_level(MAPS[:3], box, size=(7, 7))
    with pytest.raises(ValueError, match=r"strides of maps are \(8.0, 4.0\), expected the finest"):
        detection.level_of(box, strides=(8.0, 4.0))
