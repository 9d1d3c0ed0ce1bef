"""Whose head is judged: a run's own, or a new one on frozen maps; it says which."""

from dataclasses import replace

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.dense import judged
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.tasks import create
from m3i_jax.training import assemble
from tests.evaluation.dense.scenes import Squares

DATA = Data("squares", lambda split, classes: Squares({"train": 24, "test": 8}[split]))


@pytest.fixture(scope="module")
def of_run(shrunk, one_device):
    """A model as `models.restore` makes one of a run's online branch, untrained."""
    mesh, devices = one_device
    config = shrunk("segmentation", mesh=mesh, **{"objective.classes": 2})
    run = assemble.finish(assemble.check(config, devices=devices), images=64)
    block = dict(config.encoder, image=16)
    fields = dict(block=block, config=config, params=run.create().params)
    return models.Model("a run", "online", 16, run.network, **fields)


def test_a_run_has_a_head_of_its_own(of_run):
    assert judged.own(of_run, "mask").decoder == "segmentation"
    assert judged.own(of_run, "depth") is None
    average = of_run._replace(params={"encoders": of_run.params["encoders"]})
    assert judged.own(average, "mask") is None
    assert judged.own(models.fresh(of_run.block), "mask") is None


def test_own_heads_and_new_ones(of_run):
    evaluation = Evaluation(of_run, DATA, batch=4, quiet=True)
    own, new = create([
        {"name": "segmentation"}, {"name": "segmentation", "head": "linear", "steps": 3, "batch": 8}
    ])  # fmt: skip
    of_own, of_new = (task.measure(evaluation) for task in (own, new))
    assert of_own.protocol == {"head": "own", "base": None} and of_own.counts == {"test": 8}
    assert of_new.protocol == {"head": "dense_linear", "steps": 3, "batch": 8, "train": 24}
    assert of_own.metrics["constant"] == of_new.metrics["constant"]
    # The guess is that all is ground: half of its share of the test pixels.
    ground = sum((Squares()[n].mask == 0).mean() for n in range(8)) / 8
    assert of_own.metrics["constant"] == pytest.approx(ground / 2)


def test_a_head_of_a_run_is_shown_what_it_was_trained_on(of_run):
    """Another size would be another number than the run's own validation has."""
    crops = dict(name="scale_jitter", base=(32, 8))
    model = of_run._replace(config=replace(of_run.config, crops=crops))
    task, other = create([{"name": "segmentation"}, {"name": "segmentation", "base": [32, 8]}])
    found = task.measure(Evaluation(model, DATA, batch=4, quiet=True))
    assert found.protocol == {"head": "own", "base": (32, 8)}
    said = other.measure(Evaluation(of_run, DATA, batch=4, quiet=True))
    assert said.metrics == found.metrics and said.protocol == {"head": "own"}


def test_a_head_that_is_not_there_is_said(of_run):
    evaluation = Evaluation(models.fresh(of_run.block), DATA, batch=4, quiet=True)
    (task,) = create([{"name": "depth", "head": "own"}])
    with pytest.raises(ConfigError, match="has no head that says the 'depth' of pixels; head=lin"):
        task.measure(evaluation)
