"""Numbers of tracks beside those of a box that stays, and sources without videos."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.tracking.judged import judged, videos_of
from m3i_jax.metrics.tracking import Track
from tests.evaluation.dense.scenes import Squares
from tests.evaluation.tracking.followed_test import SOURCE


def test_a_box_that_stays_is_the_guess():
    """It moves by its side after each frame: found in half of them, and where it was in one."""
    there = np.array([[0.0, 10.0 * n, 10.0, 10.0 * n + 10] for n in range(5)])
    found = there.copy()
    found[3:] = there[0]
    numbers = judged([Track(there, found, size=(10, 60))])
    assert numbers["ao"] == 0.5 and numbers["constant"] == 0.0, "the first frame is given"
    assert numbers["sr50"] == numbers["sr75"] == 0.5 and "curve" not in numbers


def test_who_has_no_videos_is_refused():
    assert videos_of(SOURCE) is SOURCE
    with pytest.raises(ConfigError, match="'squares' has no videos"):
        videos_of(Squares(3))
