"""Scale jitter: landmarks stay, laws of sizes and crops are mmsegmentation's, views may be wide."""

import numpy as np
import pytest

from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views.annotated import UNKNOWN, whole
from m3i_jax.data.views.scale_jitter import (
    MEAN,
    ScaleJitter,
    lower_middle,
    resized_sides,
    shown,
)
from tests.data.views.landmarks import RADIUS, WANTED, agree, scene


def test_landmarks_are_where_their_pixels_are():
    views = ScaleJitter(96, 128, base=(160, 120), fill=(0, 0, 0), views=("a", "b"), most=1)
    found, mirrors, padded = 0, set(), 0
    for seed in range(30):
        row = views.annotated(scene(), np.random.default_rng(seed), WANTED)
        for name in ("a", "b"):
            box, said = row.boxes[name], row.annotations[name]
            gain = 96 / box[2]
            assert row.images[name].shape == (96, 128, 3) and 0.49 < gain < 2.01
            found += agree(row.images[name], said, RADIUS * gain, swapped=bool(box[4]))
            mirrors.add(bool(box[4]))
            padded += (said.mask == UNKNOWN).any()
        again = views(scene(), np.random.default_rng(seed))
        np.testing.assert_array_equal(again.images["b"], row.images["b"])
    assert found > 60 and mirrors == {True, False} and padded > 5


def test_what_is_beyond_the_image_is_filled_and_named_by_nobody():
    views = ScaleJitter(64, base=None, scale=(1.0, 1.0), flip=0.0)
    sample = Sample(np.full((40, 50, 3), 9, np.uint8), mask=np.full((40, 50), 3, np.uint8))
    row = views.annotated(sample, np.random.default_rng(0), WANTED)
    view, said = row.images["a"], row.annotations["a"]
    assert (view[:40, :50] == 9).all() and (said.mask[:40, :50] == 3).all()
    assert (view[40:] == MEAN).all() and (view[:, 50:] == MEAN).all()
    assert (said.mask == 3).sum() == 40 * 50 and not said.present["points"]


def test_shown_is_the_image_resized_and_then_cut():
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    all_of_it = shown(image, whole(60, 80), (90, 120)).astype(int)
    box = np.array([10 / 1.5, 20 / 1.5, 50 / 1.5, 40 / 1.5, 0, 80], np.float32)
    part = shown(image, box, (50, 40)).astype(int)
    assert np.abs(part - all_of_it[10:60, 20:60]).max() <= 2  # each pass of Pillow's rounds
    mirror = shown(image, whole(60, 80, mirrored=True), (90, 120)).astype(int)
    assert np.abs(mirror - all_of_it[:, ::-1]).max() <= 1
    away = shown(image, np.array([100, 0, 20, 20, 0, 80], np.float32), (8, 8))
    assert (away == MEAN).all()


@pytest.mark.parametrize(
    "frame, factor, sides",
    [
        ((512, 683), 1.0, (512, 683)),  # ADE20K: the short side is 512
        ((683, 512), 0.5, (342, 256)),
        ((1024, 2048), 1.0, (512, 1024)),
        ((100, 1000), 1.0, (205, 2048)),  # the long side is not longer
        ((256, 256), 1.3, (665, 665)),
    ],
)
def test_sizes_are_those_that_keep_the_ratio(frame, factor, sides):
    assert resized_sides(frame, (2048, 512), factor=factor) == sides
    assert resized_sides(frame, None) == frame


def test_crops_of_one_category_are_drawn_again():
    mask = np.zeros((64, 64), np.uint8)
    mask[:16, :16] = 1
    mask[60:] = UNKNOWN  # counts for nothing
    sample = Sample(np.zeros((64, 64, 3), np.uint8), mask=mask)
    shares = {}
    for most in (0.75, 1.0):
        views = ScaleJitter(16, base=None, scale=(1.0, 1.0), most=most)
        rows = [views.annotated(sample, np.random.default_rng(n), WANTED) for n in range(80)]
        both = [{0, 1} <= {*np.unique(row.annotations["a"].mask)} for row in rows]
        shares[most] = np.mean(both)
    assert 0 < 3 * shares[1.0] < shares[0.75] < 1  # ten more draws


def test_factors_are_uniform_and_a_strip_may_show_depth():
    views = ScaleJitter(32, base=(160, 120), flip=0.0, most=1, cut_depth=0.25, fill=(0, 0, 0))
    sample = scene()._replace(depth=np.full((120, 160), 77, np.float32))
    gains, strips = [], 0
    for seed in range(200):
        row = views(sample, np.random.default_rng(seed))
        gains.append(32 / row.boxes["a"][2])
        strips += (row.images["a"] == 77).all(-1).any()
    assert 0.5 <= min(gains) < 0.6 and 1.9 < max(gains) <= 2.0
    assert abs(np.mean(gains) - 1.25) < 0.1
    assert 5 < strips < 50  # a quarter of the samples, where the view shows the strip


def test_views_may_be_of_the_middle_of_the_lower_edge_alone():
    image, box = lower_middle(scene().image, size=(70, 101))
    np.testing.assert_array_equal(image, scene().image[50:, 29:130])
    assert box.tolist() == [50, 29, 70, 101, 0, 160]
    assert lower_middle(image, size=(352, 1216))[0].shape == (70, 101, 3)
    views = ScaleJitter(80, base=None, scale=(1.0, 1.2), lower=(70, 101), most=1, fill=(0, 0, 0))
    found = 0
    for seed in range(20):
        row = views.annotated(scene(), np.random.default_rng(seed), WANTED)
        box, said = row.boxes["a"], row.annotations["a"]
        found += agree(row.images["a"], said, RADIUS * 80 / box[2], swapped=bool(box[4]))
        assert box[5] == 101 and not (said.mask == 1).any() and said.points[:, 2].min() == 0
    assert found > 10


def test_a_diagonal_cut_is_as_far_down_as_it_is_to_the_right():
    """Both rooms times one random share, as ViTDet's fixed crops."""
    source = np.zeros((40, 80, 3), np.uint8)
    views = ScaleJitter(size=20, base=None, scale=(2.0, 2.0), flip=0.0, most=1.0, diagonal=True)
    rng, shares = np.random.default_rng(0), []
    for _ in range(50):
        top, left, height, width, *_ = views(Sample(source), rng).boxes["a"]
        assert (height, width) == (10, 10)
        assert abs(top / 30 - left / 70) <= 0.5 * (0.5 / 30 + 0.5 / 70) + 1e-6
        shares.append(left / 70)
    assert min(shares) < 0.1 and max(shares) > 0.9
