"""Tracking beside closed forms of boxes that are shifted, and beside the rules in loops."""

import numpy as np
import pytest

from m3i_jax.metrics import tracking
from m3i_jax.metrics.tracking import Track

BOX = np.array([10.0, 20, 50, 100])  # 40 high, 80 wide


def still(frames, box=BOX):
    return np.tile(box, (frames, 1))


def shifted(frames, down, right, **more):
    """Frames whose boxes are all found so far away."""
    return Track(still(frames), still(frames) + np.array([down, right, down, right]), **more)


def by_shift(down, right):
    both = (40 - down) * (80 - right)
    return both / (2 * 3200 - both)


@pytest.mark.parametrize("down, right", [(0, 0), (10, 0), (0, 40), (8, 16), (0.5, 0.25), (10, 20)])
def test_a_constant_shift(down, right):
    track, expected = shifted(5, down, right), by_shift(down, right)
    scores = tracking.got10k([track])
    assert scores.ao == pytest.approx(expected, abs=1e-12)
    assert (scores.sr50, scores.sr75) == (expected > 0.5, expected > 0.75)
    passed = np.ceil(round(expected * 100, 9))  # thresholds that are less
    assert scores.curve.sum() == passed and scores.curve[-1] == 0
    other = tracking.lasot([track])
    assert other.success == pytest.approx(np.ceil(round(expected * 20, 9)) / 21)
    assert other.precision == (np.hypot(down, right) <= 20)
    error = np.hypot(down / 40, right / 80)
    assert other.normalized == pytest.approx((np.linspace(0, 0.5, 51) >= error - 1e-12).mean())


def test_twenty_pixels_are_near_enough():
    assert tracking.lasot([shifted(3, 12, 16)]).precision == 1
    assert tracking.lasot([shifted(3, 12, 16.01)]).precision == 0


def test_the_first_frame_counts_for_lasot_alone():
    found = still(4)
    found[1:] += 1000
    track = Track(still(4), found)
    assert tracking.got10k([track]).ao == 0
    assert tracking.lasot([track]).precision == pytest.approx(0.25)


def test_frames_count_for_got10k_and_videos_for_lasot():
    good, bad = shifted(11, 0, 0), shifted(31, 500, 0)
    assert tracking.got10k([good, bad]).ao == pytest.approx(10 / 40)
    scores = tracking.lasot([good, bad])
    assert scores.precision == pytest.approx(0.5)
    assert scores.success == pytest.approx((20 / 21 + 0) / 2)  # nothing overlaps more than 1


def test_frames_of_which_nobody_says_or_sees_anything_do_not_count():
    there, found = still(6), still(6)
    found[3:] += 500
    nobody = there.copy()
    nobody[3:] = np.nan
    seen = np.array([True] * 3 + [False] * 3)
    for track in (Track(nobody, found), Track(there, found, seen)):
        assert tracking.got10k([track]).ao == pytest.approx(1)
        assert tracking.lasot([track]).precision == 1
    assert tracking.got10k([Track(there, found)]).ao == pytest.approx(2 / 5)


def test_boxes_are_cut_off_as_the_toolkit_does():
    """By its rule in left, top, width, height, written down in loops."""
    rng = np.random.default_rng(0)
    size = (60, 80)
    boxes = np.sort(rng.uniform(-30, 110, (2, 200, 2, 2)), axis=2).reshape(2, 200, 4)
    got = tracking.overlap(boxes[0], boxes[1], size=size)
    for n in range(200):
        rects = []
        for top, left, bottom, right in boxes[:, n]:
            x, y = min(max(left, 0), 80), min(max(top, 0), 60)
            w, h = min(max(right - left, 0), 80 - x), min(max(bottom - top, 0), 60 - y)
            rects.append((x, y, w, h))
        (x, y, w, h), (x2, y2, w2, h2) = rects
        across = max(min(x + w, x2 + w2) - max(x, x2), 0)
        down = max(min(y + h, y2 + h2) - max(y, y2), 0)
        both = across * down
        union = w * h + w2 * h2 - both + np.finfo(float).eps
        assert got[n] == pytest.approx(min(both / union, 1), abs=1e-12)
    inside = np.clip(boxes, 0, [60, 80, 60, 80])
    np.testing.assert_allclose(
        tracking.overlap(inside[0], inside[1], size=size), tracking.overlap(inside[0], inside[1])
    )
    half = np.array([[0.0, -40, 40, 40]])  # of which the left half is outside
    assert tracking.overlap(half, np.array([[0.0, 0, 40, 80]]), size=(40, 200)) == pytest.approx(1)


def test_nothing_is_changed_in_place():
    there, found = still(3, BOX - 15), still(3, BOX - 12)
    before = there.copy(), found.copy()
    tracking.got10k([Track(there, found, size=(30, 30))])
    np.testing.assert_array_equal(there, before[0])
    np.testing.assert_array_equal(found, before[1])


def test_boxes_without_an_area():
    dot = still(2, np.array([5.0, 5, 5, 5]))
    assert tracking.overlap(dot, dot).tolist() == [0, 0]
    assert tracking.off_centre(dot + 3, dot, normalized=True) == pytest.approx(np.hypot(3, 3))


def test_what_cannot_be_counted_is_said():
    nan = np.full((3, 4), np.nan)
    with pytest.raises(ValueError, match="in no frame but the first"):
        tracking.got10k([Track(nan, still(3))])
    with pytest.raises(ValueError, match="in no frame of video 1"):
        tracking.lasot([shifted(3, 0, 0), Track(nan, still(3))])
    with pytest.raises(ValueError, match="there is no video"):
        tracking.lasot([])
    with pytest.raises(ValueError, match="video 0 has 3 frames, and boxes were found in 2"):
        tracking.got10k([Track(still(3), still(2))])
    with pytest.raises(ValueError, match="found in video 0 is not finite"):
        tracking.lasot([Track(still(3), nan)])
