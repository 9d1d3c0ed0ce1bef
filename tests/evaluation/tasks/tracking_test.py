"""Tracking as a task: of runs that have a head for it, on data of videos."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.dense import judged
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.tasks import create
from tests.evaluation.dense.scenes import Squares
from tests.evaluation.tracking.followed_test import SOURCE, Bright

BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=1, heads=2)


class Sized(Bright):
    size = (32, 32)


class Config:
    crops = dict(name="track", template=16)


def evaluation(source, monkeypatch=None):
    data = Data("made", lambda split, classes: source)
    model = models.fresh(BLOCK)
    if monkeypatch:
        monkeypatch.setattr(judged, "own", lambda model, view: Sized())
        model = model._replace(config=Config())
    return Evaluation(model, data, batch=4, quiet=True)


def test_what_is_bright_is_followed_better_than_by_a_box_that_stays(monkeypatch):
    (task,) = create([{"name": "tracking"}])
    assert (task.metric, task.unit) == ("eval/tracking/ao", "share")
    measured = task.measure(evaluation(SOURCE, monkeypatch))
    numbers = measured.metrics
    assert numbers["ao"] > 0.75 > numbers["constant"] and numbers["precision"] == 1.0
    assert np.isfinite(list(numbers.values())).all() and "curve" not in numbers
    assert measured.counts == {"test": 3} and measured.protocol["template"] == 16


def test_who_has_no_head_and_data_without_videos_are_refused(monkeypatch):
    (task,) = create([{"name": "tracking"}])
    with pytest.raises(NotMeasurable, match="has no head that follows an object"):
        task.measure(evaluation(SOURCE))
    with pytest.raises(ConfigError, match="'squares' has no videos"):
        task.measure(evaluation(Squares(3), monkeypatch))
