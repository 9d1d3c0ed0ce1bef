"""Segmentation by nearest cells, as a task: of raw pixels, and of encoders that are cut."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models, surgery
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.tasks import create
from tests.evaluation.dense.scenes import Squares

DATA = Data("squares", lambda split, classes: Squares({"train": 24, "test": 8}[split]))
BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=2, heads=2)


def measured(model, **settings):
    (task,) = create([{"name": "knn_segmentation", "k": 5, "bank": 240, **settings}])
    return task.measure(Evaluation(model, DATA, batch=4, quiet=True))


def test_pixels_are_told_apart_without_training():
    found = measured(models.RAW, patch=2)
    assert found.metrics["miou"] > 0.8 > found.metrics["constant"] + 0.2
    assert found.protocol == {"train": 24, "cells": 240} and found.counts == {"test": 8}


def test_a_block_is_that_of_the_encoder_cut_behind_it():
    model = models.fresh(BLOCK)
    cut = measured(surgery.truncated(model, 1))
    assert cut.metrics == measured(model, blocks=(1,)).metrics
    assert cut.intervals != measured(model).intervals


def test_what_decides_its_numbers_is_written():
    (task,) = create([{"name": "knn_segmentation", "k": 3, "flip": True}])
    assert task.metric == "eval/knn_segmentation/miou"
    assert (task.settings["k"], task.settings["flip"], task.settings["bank"]) == (3, True, 20_480)
    with pytest.raises(ConfigError, match="gaps between them"):
        create([{"name": "knn_segmentation", "window": [8, 9]}])
