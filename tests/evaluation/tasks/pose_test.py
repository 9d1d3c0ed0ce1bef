"""Key points as a task, by the simple decoder on frozen maps."""

from m3i_jax.evaluation import models
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.tasks import create
from tests.evaluation.dense.scenes import Squares

BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=1, heads=2)


def test_it_learns_where_joints_are():
    data = Data("squares", lambda split, classes: Squares({"train": 40, "test": 10}[split]))
    evaluation = Evaluation(models.fresh(BLOCK), data, batch=5, quiet=True)
    how = dict(batch=8, warmup=5, rate=0.01, sigma=1.0, rotation=0, flip=False)
    few, many = create([{"name": "pose", "steps": steps, **how} for steps in (1, 80)])
    assert (many.metric, many.unit) == ("eval/pose/oks", "share")
    before, behind = (task.measure(evaluation) for task in (few, many))
    assert behind.metrics["oks"] > before.metrics["oks"] + 0.1
    assert behind.counts == {"test": 10} and behind.protocol["head"] == "simple_decoder"
