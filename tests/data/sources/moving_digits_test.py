"""Videos of digits: boxes are those of what is drawn, digits move as they are said to."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.moving_digits import _mirrored, _Moving, moving_digits

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

HOW = dict(size=48, videos=6, frames=10)


@pytest.fixture(scope="module")
def videos():
    return moving_digits("train", **HOW)


def moving(source):
    """What moves, behind the reader of its frames."""
    (inner,) = [
        cell.cell_contents
        for cell in source._frames.read.__closure__
        if isinstance(cell.cell_contents, _Moving)
    ]
    return inner


def test_boxes_are_around_what_is_drawn(videos):
    inner, hidden = moving(videos), 0
    assert len(videos.videos) == 6 and all(len(video.seen) == 10 for video in videos.videos)
    for number, video in enumerate(videos.videos):
        followed = inner._routes(number)[2]
        for frame in (0, 9):
            digits = inner.digits(number, frame)
            rows, columns = np.nonzero(inner.scenes.pixels(digits[followed]))
            tight = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            np.testing.assert_array_equal(video.corners[frame], tight)
            shares = inner.scenes.seen(digits)[1]
            hidden += shares[followed] < 1
            assert video.seen[frame] == (shares[followed] >= 0.1)
            image = videos.frame(number, frame)
            assert image.shape == (48, 48, 3) and image.dtype == np.uint8
            # Nothing but the digits changes.
            still = np.ones((48, 48), bool)
            for f in (0, frame):
                for digit in inner.digits(number, f):
                    still &= inner.scenes._one.cover(digit) == 0
            np.testing.assert_array_equal(image[still], videos.frame(number, 0)[still])
    assert hidden


def test_digits_move_by_their_speed_and_stay_inside(videos):
    inner = moving(videos)
    for number in range(6):
        digits, pace, _ = inner._routes(number)
        far = np.hypot(pace[:, 0], pace[:, 1]) / 48
        assert ((far >= 0.01) & (far <= 0.05)).all()
        for frame in range(10):
            for one in inner.digits(number, frame):
                assert 0 <= one.top <= 48 - one.tall and 0 <= one.left <= 48 - one.tall
    middles = np.stack([v.corners.reshape(-1, 2, 2).mean(1) for v in videos.videos])
    steps = np.linalg.norm(np.diff(middles, axis=1), axis=-1)
    assert 0.3 < steps.mean() < 3 and steps.max() < 8
    assert [_mirrored(x, 4) for x in (-1, 0, 3, 4, 5, 8, 9)] == [1, 0, 3, 4, 3, 0, 1]


def test_splits_are_apart_and_a_record_depends_on_its_index_alone(videos):
    train, test = moving(videos), moving(moving_digits("test", **HOW))
    digits = [{one.digit for n in range(6) for one in x.digits(n, 0)} for x in (train, test)]
    assert max(digits[0]) < 1437 <= min(digits[1])
    again = moving_digits("train", **HOW)
    assert again.fingerprint() == videos.fingerprint()
    assert again.fingerprint() != moving_digits("train", **HOW, seed=1).fingerprint()
    sample = again[7]
    np.testing.assert_array_equal(sample.image, videos[7].image)
    video, template, _ = videos.drawn(7)
    np.testing.assert_array_equal(sample.other.image, videos.frame(video, template))
    assert videos.where(7).startswith(f"moving_digits/train/{video}/") and not videos.on_disk


def test_a_config_opens_it():
    block = dict(name="moving_digits", **HOW, length=9, gap=2)
    train = data.source(block, split="train")
    test = data.source(block, split="test", classes=train.classes)
    assert len(test) == 9 and abs(np.diff(test.drawn(3)[1:])[0]) <= 2
    with pytest.raises(ConfigError, match="speed is"):
        moving_digits("train", **HOW, speed=(0.2, 0.1))
    with pytest.raises(ConfigError, match="splits 'train' and 'test'"):
        moving_digits("val", **HOW)
