"""Segmentation as a task: how many categories there are, and what decides its numbers."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.tasks import create


def test_what_decides_its_numbers_is_written():
    (task,) = create([{"name": "segmentation", "window": [512, 341], "blocks": [3, 6]}])
    assert (task.metric, task.unit, task.lower) == ("eval/segmentation/miou", "share", False)
    written = task.settings
    assert (written["window"], written["stride"], tuple(written["blocks"])) == (512, 341, (3, 6))
    with pytest.raises(ConfigError, match="gaps between them"):
        create([{"name": "segmentation", "window": [8, 9]}])
