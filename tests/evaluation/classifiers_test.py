"""Three classifiers, seen alike; what they are worth is in the tests of the tasks."""

import numpy as np
import pytest

from m3i_jax.evaluation import classifiers
from m3i_jax.evaluation.classifiers import CLASSIFIERS, Scored
from m3i_jax.evaluation.evaluation import Transform
from m3i_jax.evaluation.probes.logistic import lbfgs
from m3i_jax.evaluation.probes.probe import logits
from tests.evaluation import toy_models


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scores_are_of_the_classes_of_labelled_test_images(tmp_path, name):
    evaluation = toy_models.evaluation(tmp_path)
    made = CLASSIFIERS[name](evaluation, what="it")
    found = made.scored(None)
    assert found.scores.shape == (43, 10) and found.labels.tolist() == [i % 10 for i in range(43)]
    black = Transform("black", lambda images, numbers: 0 * images)
    dark = made.scored(black).scores
    assert np.abs(dark - dark[:1]).max() < 1e-4 < np.abs(found.scores - dark).max()


def test_the_linear_one_is_the_probe_of_clean_training_images(tmp_path):
    evaluation = toy_models.evaluation(tmp_path)
    train, test = evaluation.labelled()
    found = classifiers.linear(evaluation, what="it")
    expected = logits(lbfgs(train, test).classifier, test.features)
    np.testing.assert_allclose(found.scored(None).scores, expected, rtol=1e-12)


def test_hits_are_exact_over_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    found = Scored(rng.normal(size=(97, 8)), rng.integers(0, 8, 97))
    order = np.argsort(-found.scores, axis=1)
    monkeypatch.setattr(classifiers, "CHUNK", 10)
    for k in (1, 5):
        expected = (order[:, :k] == found.labels[:, None]).any(1)
        np.testing.assert_array_equal(classifiers.hits(found, k=k), expected)
    first, five = (classifiers.hits(found, k=k).mean() for k in (1, 5))
    assert classifiers.shares(found) == {"top1": first, "top5": five}
    few = Scored(found.scores[:, :5], found.labels % 5)
    assert classifiers.shares(few)["top5"] is None
