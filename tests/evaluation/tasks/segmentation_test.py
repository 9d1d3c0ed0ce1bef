"""Segmentation as a task: how many categories there are, and what decides its numbers."""

import types

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.tasks import create
from m3i_jax.evaluation.tasks.segmentation import categories


def test_categories_are_those_of_the_masks():
    source = lambda **fields: types.SimpleNamespace(name="x", **fields)  # noqa: E731
    assert categories(source(categories=("sky", "sea", "land"), classes=())) == 3
    assert categories(source(classes=("cat", "dog"))) == 3  # and what is neither
    with pytest.raises(ConfigError, match="'x' does not say how many categories its masks have"):
        categories(source(classes=()))


def test_what_decides_its_numbers_is_written():
    (task,) = create([{"name": "segmentation", "window": [512, 341], "blocks": [3, 6]}])
    assert (task.metric, task.unit, task.lower) == ("eval/segmentation/miou", "share", False)
    written = task.settings
    assert (written["window"], written["stride"], tuple(written["blocks"])) == (512, 341, (3, 6))
    with pytest.raises(ConfigError, match="gaps between them"):
        create([{"name": "segmentation", "window": [8, 9]}])
