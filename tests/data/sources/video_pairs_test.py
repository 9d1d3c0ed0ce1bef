"""Pairs of frames: near each other, of frames that show the object, a function of the index."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.video_pairs import Frames, Video, VideoPairs


def clip(frames, name="a", hidden=()):
    corners = np.tile(np.float32([1, 2, 4, 8]), (frames, 1)) + np.arange(frames)[:, None]
    seen = np.ones(frames, bool)
    seen[[*hidden]] = False
    return Video(name, corners.astype(np.float32), seen)


def pictures(video, frame, decode):
    if frame == 77:
        raise OSError("torn")
    return np.full((9, 9, 3), frame, np.uint8)


FRAMES = Frames(pictures, lambda video, frame: f"{video}/{frame}")


def pairs(*videos, **how):
    return VideoPairs("some", videos, FRAMES, **how)


def test_pairs_are_near_and_show_the_object():
    gone = Video("c", np.full((5, 4), np.nan, np.float32), np.ones(5, bool))
    gone.corners[2], gone.corners[3] = [0, 0, 5, 5], [0, 0, 0, 5]  # a box, and one of no area
    source = pairs(clip(60, "a", range(10, 50)), clip(3, "b"), gone, length=600, gap=7)
    assert len(source) == 600 and isinstance(source, protocol.Source) and not source.on_disk
    drawn = np.array([source.drawn(i) for i in range(600)])
    np.testing.assert_array_equal(drawn[:, 0], np.arange(600) % 3)
    assert (np.abs(drawn[:, 1] - drawn[:, 2]) <= 7).all()
    first = drawn[drawn[:, 0] == 0, 1:]
    assert set(first.ravel()) == {*range(10), *range(50, 60)}
    assert (first[:, 0] < first[:, 1]).any() and (first[:, 0] > first[:, 1]).any()
    assert (drawn[drawn[:, 0] == 2, 1:] == 2).all()
    for index in (0, 1, 5):
        sample, (video, template, search) = source[index], source.drawn(index)
        assert sample.image[0, 0, 0] == search and sample.other.image[0, 0, 0] == template
        corners = source.videos[video].corners
        for box, frame in ((sample.box, search), (sample.other.box, template)):
            low, high = corners[frame, :2], corners[frame, 2:]
            np.testing.assert_array_equal(box, np.concatenate([low, high - low]), strict=True)
        assert sample.other.other is None


def test_as_many_pairs_as_frames_and_other_seeds_are_other_pairs():
    one, two = pairs(clip(20), clip(30, hidden=[3])), pairs(clip(20), clip(30, hidden=[3]), seed=1)
    assert len(one) == 49 and [*one.captions()] == [""] * 49
    assert [one.drawn(i) for i in range(9)] != [two.drawn(i) for i in range(9)]
    prints = {one.fingerprint(), two.fingerprint(), pairs(clip(20), clip(30)).fingerprint()}
    assert len(prints) == 3 and protocol.account(one).labelled == 0
    assert one.where(0).endswith(f", template {one.drawn(0)[1]}")
    assert one.decoded_by(lambda own: own) is one
    with pytest.raises(IndexError):
        one[49]


def test_what_cannot_be_read_is_named():
    with pytest.raises(ValueError, match="cannot read '0/77': torn"):
        pairs(clip(80)).frame(0, 77)
    with pytest.raises(ConfigError, match="no frame shows the object of 'x'"):
        pairs(clip(3), clip(3, "x", range(3)))
    with pytest.raises(ConfigError, match="'some' has no video"):
        pairs()
