"""Views of a person: landmarks stay under every draw, and draws follow the published laws."""

import math

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.views import affine
from m3i_jax.data.views.person_crops import (
    Frame,
    PersonCrops,
    _normal,
    frame_of,
    grown,
    half_body,
    packed,
    person_box,
)
from tests.data.views.landmarks import RADIUS, WANTED, agree, scene

STILL = dict(flip=0.0, half_body=0.0, shift_share=0.0, scale=(1.0, 1.0), rotation_share=0.0)


def test_landmarks_are_where_their_pixels_are():
    views, found, mirrors = PersonCrops(128, 96, views=("a", "b")), 0, set()
    for seed in range(25):
        row = views.annotated(scene(), np.random.default_rng(seed), WANTED)
        for name, view in row.images.items():
            box, said = row.boxes[name], row.annotations[name]
            assert view.shape == (128, 96, 3) and abs(box[2] / box[3] - 4 / 3) < 0.02
            mirrored = bool(box[4])
            found += agree(view, said, RADIUS * 128 / box[2], swapped=mirrored)
            mirrors.add(mirrored)
        again = views.annotated(scene(), np.random.default_rng(seed), WANTED)
        np.testing.assert_array_equal(again.images["a"], row.images["a"])
    assert found > 40 and mirrors == {True, False}


def test_without_draws_it_is_the_view_of_an_evaluation():
    sample = scene()
    row = PersonCrops(64, 48, **STILL).annotated(sample, np.random.default_rng(0), WANTED)
    box = person_box(sample, (64, 48))
    np.testing.assert_array_equal(row.boxes["a"], box)
    view = affine.warped(sample.image, affine.of_box(box, (64, 48)), (64, 48))
    assert np.abs(row.images["a"].astype(int) - view).max() <= 1
    # 100 x 120 widened by 1.25 is 125 x 150, whose height grows to 4 / 3 of the width.
    frame = grown(frame_of(sample), (64, 48))
    np.testing.assert_allclose(frame.extent, [200, 150])
    np.testing.assert_allclose(frame.centre, [60, 80])
    np.testing.assert_allclose(packed(frame, (64, 48), 160)[2:4], [200 * 64 / 63, 150 * 48 / 47])
    nobody = frame_of(sample._replace(box=None), padding=1.0)
    np.testing.assert_allclose(nobody.extent, [120, 160])


def test_numbers_are_normal_and_cut_off_at_one():
    """Against the density by a sum: φ(x) / (Φ(1) − Φ(−1)) from −1 to 1."""
    drawn = np.array([_normal(u) for u in (np.arange(4000) + 0.5) / 4000])
    x = np.linspace(-1, 1, 20001)
    weight = np.exp(-(x**2) / 2)
    assert np.abs(drawn).max() < 1 and abs(drawn.mean()) < 1e-6
    np.testing.assert_allclose(drawn.var(), (weight * x**2).sum() / weight.sum(), rtol=2e-3)


def test_moves_factors_and_turns_have_their_shares():
    only = lambda **change: PersonCrops(64, 64, **STILL | change)  # noqa: E731
    sample, extent = scene(), 150.0 * 64 / 63
    boxes = [only(scale=(0.5, 1.5))(sample, np.random.default_rng(n)).boxes["a"] for n in range(99)]
    factors = np.array([box[2] for box in boxes]) / extent
    assert 0.5 <= factors.min() < 0.6 and 1.4 < factors.max() <= 1.5
    moved = only(shift_share=0.3)
    boxes = [moved(sample, np.random.default_rng(n)).boxes["a"] for n in range(200)]
    rows = np.array([box[0] + box[2] / 2 - 60 for box in boxes])
    assert 0.2 < (np.abs(rows) > 1e-3).mean() < 0.4 and np.abs(rows).max() <= 0.16 * 125
    turned = only(rotation=40.0, rotation_share=0.6)
    angles = []
    for n in range(200):
        places = turned.annotated(sample, np.random.default_rng(n), WANTED)
        first, second, _ = places.annotations["a"].points[:, :2]
        angle = math.atan2(*(second - first)) - math.atan2(60 - 24, 121 - 31)
        angles.append(math.degrees(angle))
    angles = np.abs(angles)
    assert 0.5 < (angles > 0.05).mean() < 0.7 and 35 < angles.max() <= 40.1


def test_half_a_body_is_around_its_labelled_points():
    points = np.array([[10 * n, 5 * n, 2] for n in range(12)], np.float32)
    points[7, 2] = 0
    upper = tuple(range(6))
    top = half_body(points, upper, prefer_upper=True)
    np.testing.assert_allclose(top.centre, [25, 12.5])
    np.testing.assert_allclose(top.extent, [75, 37.5])
    low = half_body(points, upper, prefer_upper=False)
    np.testing.assert_allclose(low.centre, points[[6, 8, 9, 10, 11], :2].mean(0))
    np.testing.assert_allclose(low.extent, [75, 37.5])
    few = points.copy()
    few[8:10, 2] = 0  # the lower half has three still
    assert half_body(few, upper, prefer_upper=False).centre[0] > 60
    few[10, 2] = 0  # and now two
    assert half_body(few, upper, prefer_upper=True) is None  # eight in all are too few
    only_upper = half_body(points, tuple(range(10)), prefer_upper=False)  # the lower half has two
    np.testing.assert_allclose(only_upper.centre, np.delete(points[:10, :2], 7, 0).mean(0))
    assert grown(Frame(np.zeros(2), np.array([1.0, 30.0])), (4, 3)).extent[0] == 40


def test_views_of_one_pixel_are_refused():
    with pytest.raises(ConfigError, match=r"views of a person are \(1, 1\)"):
        PersonCrops(1)
