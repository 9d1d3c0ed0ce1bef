"""The codec against loops over cells in float64, OpenCV's blur, and itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import heatmaps
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views import person_crops

RNG = np.random.default_rng(6)
CROP, CELLS = (128, 96), (32, 24)
UNBIASED = (np.array(CROP) - 1) / (np.array(CELLS) - 1)
SWAPPED = ((1, 2), (2, 1), (3, 4))
encode = jax.jit(
    functools.partial(heatmaps.encode, cells=CELLS, crop=CROP), static_argnames="unbiased"
)
decode = jax.jit(functools.partial(heatmaps.decode, crop=CROP), static_argnames="unbiased")


def shown(cells, stride=UNBIASED):
    """Labelled joints at (..., 2) cells."""
    points = np.asarray(cells) * stride + 0.5
    return np.concatenate([points, np.full((*points.shape[:-1], 1), 2)], -1).astype(np.float32)


def encoded(points, unbiased, sigma=2.0):
    """Cell by cell, in float64."""
    stride = UNBIASED if unbiased else np.array(CROP) / CELLS
    maps, weights = np.zeros((len(points), *CELLS, points.shape[1])), np.zeros(points.shape[:2])
    for b, k in np.ndindex(points.shape[:2]):
        exact = (np.float64(points[b, k, :2]) - 0.5) / stride
        middle = np.floor(exact + 0.5)
        for cell in np.ndindex(CELLS):
            if points[b, k, 2] > 0 and (abs(cell - middle) <= 3 * sigma).all():
                off = cell - (exact if unbiased else middle)
                maps[(b, *cell, k)] = np.exp(-(off**2).sum() / (2 * sigma**2))
                weights[b, k] = 1
    return maps, weights


def decoded(maps):
    """DARK's step after UDP, map by map, with OpenCV's blur; in cells."""
    cv2 = pytest.importorskip("cv2")
    found = []
    for m in maps.transpose(0, 3, 1, 2).reshape(-1, *maps.shape[1:3]).astype(np.float64):
        y, x = np.unravel_index(m.argmax(), m.shape)
        wide = cv2.GaussianBlur(np.pad(m, 5), (11, 11), 0)[5:-5, 5:-5]
        logs = np.pad(np.log(np.clip(wide * m.max() / wide.max(), 1e-3, 50)), 1, mode="edge")
        l = logs[y : y + 3, x : x + 3]
        slope = 0.5 * np.array([l[2, 1] - l[0, 1], l[1, 2] - l[1, 0]])
        cross = l[2, 2] - l[1, 2] - l[2, 1] + 2 * l[1, 1] - l[1, 0] - l[0, 1] + l[0, 0]
        yy, xx = l[2, 1] - 2 * l[1, 1] + l[0, 1], l[1, 2] - 2 * l[1, 1] + l[1, 0]
        bend = np.array([[yy, cross / 2], [cross / 2, xx]]) + np.finfo(np.float32).eps * np.eye(2)
        found.append([y, x] - np.linalg.solve(bend, slope))
    return np.reshape(found, (len(maps), -1, 2))


@pytest.mark.parametrize("unbiased", [True, False])
def test_maps_equal_those_made_cell_by_cell(unbiased):
    inside = RNG.uniform(0, 1, (2, 5, 2)) * np.array(CROP)
    beyond = [[[-60, 40], [-10, 200], [140, 40], [300, 5], [-3.9, 95.2]]]
    points = shown(np.concatenate([inside, beyond]), 1.0)
    points[0, 1:3, 2] = (0, 1)  # not labelled, hidden
    maps, weights = encode(points, unbiased=unbiased)
    wanted = encoded(points, unbiased)
    np.testing.assert_allclose(maps, wanted[0], atol=1e-6)
    np.testing.assert_array_equal(weights, wanted[1])
    assert not weights[0, 1] and not np.asarray(maps)[0, ..., 1].any() and weights[0, 2]
    assert 0 < weights[2].sum() < 5
    exact = np.asarray(maps)[1].max((0, 1))
    assert (exact == 1).all() != unbiased  # peaks are not made 1


def test_joints_inside_are_found_again():
    """To 1e-3 pixels, as the logarithm of a blurred Gaussian is a parabola."""
    joints = RNG.uniform(8, np.array(CELLS) - 9, (40, 5, 2))
    points = shown(joints)
    found = decode(encode(points).maps)
    assert abs(found.points - points[..., :2]).max() < 1e-3
    assert found.scores.min() > np.exp(-0.25 / 4) - 1e-6


def test_joints_at_the_border_are_off_by_what_the_zeros_around_do():
    """Up to a cell: as much as the published decoder, of which it is within rounding."""
    joints = RNG.uniform(0, np.array(CELLS) - 1, (30, 5, 2))
    maps = encode(shown(joints)).maps
    cells = (np.asarray(decode(maps).points) - 0.5) / UNBIASED
    off = abs(cells - joints).max(-1)
    near = np.minimum(joints, np.array(CELLS) - 1 - joints).min(-1)
    assert 0.3 < off.max() < 1.0 and off[near > 2].max() < 0.3
    np.testing.assert_allclose(cells, decoded(np.asarray(maps)), atol=5e-5)
    noisy = np.asarray(maps) + 0.05 * RNG.random(maps.shape).astype(np.float32)
    cells = (np.asarray(decode(noisy).points) - 0.5) / UNBIASED
    np.testing.assert_allclose(cells, decoded(noisy), atol=1e-3)


def test_simple_baselines_quarter_of_a_cell():
    stride = np.array(CROP) / CELLS
    maps = np.zeros((1, *CELLS, 4), np.float32)
    for k, (y, x) in enumerate([(9, 7), (9, 7), (0, 5), (9, 7)]):
        maps[0, y, x, k] = 1
    maps[0, 10, 7, 0], maps[0, 9, 6, 0] = 0.5, 0.2  # lower, and to the left
    maps[0, 1, 5, 2] = 0.5  # at the edge nothing moves
    maps[..., 3] *= -1  # a map of nothing, whose maximum is its first 0
    found = decode(maps, unbiased=False)
    wanted = np.array([[9.25, 6.75], [9, 7], [0, 5], [0, 0]]) * stride + 0.5
    np.testing.assert_array_equal(found.points[0], wanted)
    np.testing.assert_array_equal(found.scores[0], [1, 1, 1, 0])
    joints = shown(RNG.uniform(30, 60, (20, 5, 2)), 1.0)
    off = decode(encode(joints, unbiased=False).maps, unbiased=False).points - joints[..., :2]
    assert abs(off).max() <= stride[0] / 2 + 1e-4  # of a cell that is 4 pixels


def test_flat_and_empty_maps_leave_the_joint_where_it_is_largest():
    for maps in (np.zeros((1, *CELLS, 2)), -np.ones((1, *CELLS, 2)), np.ones((1, *CELLS, 2))):
        for unbiased in (True, False):
            found = decode(maps.astype(np.float32), unbiased=unbiased)
            assert np.isfinite(found.points).all() and found.scores[0, 0] == maps[0, 0, 0, 0]
    np.testing.assert_array_equal(decode(np.zeros((1, *CELLS, 2), np.float32)).points, 0.5)


def test_a_mirrored_crop_has_the_mirrored_maps_and_points():
    joints = RNG.uniform(8, np.array(CELLS) - 9, (3, 5, 2))
    other = joints[:, [0, 2, 1, 4, 3]].copy()
    other[..., 1] = CELLS[1] - 1 - other[..., 1]
    maps, seen = (encode(shown(x)).maps for x in (joints, other))
    np.testing.assert_allclose(heatmaps.mirrored(seen, SWAPPED), maps, atol=1e-5)
    # Of cells of side/cells pixels, a joint in the middle of cells is one off without the shift.
    stride = np.array(CROP) / CELLS
    whole = np.floor(joints)
    other = whole[:, [0, 2, 1, 4, 3]].copy()
    other[..., 1] = CELLS[1] - other[..., 1]
    maps, seen = (encode(shown(x, stride), unbiased=False).maps for x in (whole, other))
    back = heatmaps.mirrored(seen, SWAPPED, unbiased=False)
    np.testing.assert_allclose(back[:, :, 1:], maps[:, :, 1:], atol=1e-5)
    np.testing.assert_array_equal(back[:, :, 0], heatmaps.mirrored(seen, SWAPPED)[:, :, 0])
    twice = heatmaps.mirrored(heatmaps.mirrored(seen, SWAPPED), SWAPPED)
    np.testing.assert_array_equal(twice, seen)


def test_points_come_back_to_the_image_that_the_crop_is_of():
    """As crops of a person are packed, which are unbiased: intervals between centres of pixels."""
    image = np.zeros((300, 400, 3), np.uint8)
    joints = np.array([[100, 120, 2], [180.5, 149.5, 2], [151, 171, 2]], np.float32)
    sample = Sample(image, box=np.array([90, 110, 100, 70], np.float32), points=joints)
    box = person_crops.person_box(sample, CROP)
    seen = (joints[:, :2] - box[:2]) * CROP / box[2:4]
    found = heatmaps.to_image(seen[None].astype(np.float32), box[None], crop=CROP)
    np.testing.assert_allclose(found[0], joints[:, :2], rtol=1e-5)
    maps = encode(np.concatenate([seen, joints[:, 2:]], -1)[None].astype(np.float32)).maps
    found = heatmaps.to_image(decode(maps).points, box[None], crop=CROP)
    np.testing.assert_allclose(found[0], joints[:, :2], atol=5e-3)
    mirror = box * np.float32([1, 1, 1, 1, 0, 1]) + np.float32([0, 0, 0, 0, 1, 0])
    found = heatmaps.to_image(seen[None].astype(np.float32), mirror[None], crop=CROP)
    np.testing.assert_allclose(found[0, :, 1], 400 - joints[:, 1], rtol=1e-5)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(ValueError, match="changes places with two"):
        heatmaps.mirrored(jnp.zeros((1, 2, 2, 3)), ((0, 1), (1, 2)))
    with pytest.raises(ValueError, match="joints 1 and 3 change places, and there are 3"):
        heatmaps.mirrored(jnp.zeros((1, 2, 2, 3)), ((1, 3),))
    with pytest.raises(ValueError, match="no such step"):
        heatmaps.decode(jnp.zeros((1, 1, 4, 2)), crop=(8, 8))
