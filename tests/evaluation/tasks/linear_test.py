"""The linear task is the probe that its settings name."""

import jax
import numpy as np
import pytest

from m3i_jax.evaluation.probes.lars import lars
from m3i_jax.evaluation.probes.logistic import lbfgs
from m3i_jax.evaluation.probes.probe import logits
from m3i_jax.evaluation.tasks import linear
from tests.evaluation.toy_features import evaluation, tables


def test_the_default_is_the_exact_optimum():
    train, test = tables()
    found, probe = linear().measure(evaluation(train, test)), lbfgs(train, test)
    assert found.metrics["top1"] == probe.top1 and found.metrics["top5"] is None
    answers = logits(probe.classifier, test.features).argmax(1)
    own = [np.mean(answers[test.labels == c] == c) for c in range(3)]
    assert found.metrics["mean_per_class"] == pytest.approx(np.mean(own), abs=1e-12)
    assert found.protocol == {"l2": probe.l2, "iterations": probe.iterations}


@pytest.mark.parametrize("base_lr, rate", [(None, 3.2), (512.0, 512.0)])
def test_lars_is_the_recipe_with_its_rate(base_lr, rate):
    train, test = tables()
    task = linear(recipe="lars", base_lr=base_lr)
    assert task.settings == {"recipe": "lars", "base_lr": rate}
    probe = lars(jax.random.key(0), train, test, base_lr=rate)
    assert task.measure(evaluation(train, test)).metrics["top1"] == probe.top1
