"""Depth as a task, by a head of bins on frozen maps."""

import pytest

from m3i_jax.evaluation import models
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.tasks import create
from tests.evaluation.dense.scenes import Squares

BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=1, heads=2)


def test_it_is_less_wrong_than_a_guess():
    data = Data("squares", lambda split, classes: Squares({"train": 40, "test": 10}[split]))
    evaluation = Evaluation(models.fresh(BLOCK), data, batch=10, quiet=True)
    how = dict(steps=60, batch=8, warmup=5, rate=0.02, minimum=0.5, maximum=8)
    (task,) = create([{"name": "depth", **how}])
    assert (task.metric, task.unit, task.lower) == ("eval/depth/rmse", "metres", True)
    found = task.measure(evaluation)
    assert found.metrics["rmse"] < 0.8 * found.metrics["constant"]
    assert found.metrics["delta3"] <= 1 and found.counts == {"test": 10}
    low, high = found.intervals["rmse"]
    assert low < found.metrics["rmse"] < high
    assert found.protocol["head"] == "depth_bins"
    assert task.settings["crop"] == "none" and task.settings["maximum"] == pytest.approx(8)
