"""Scores of a probe are exact counts."""

import numpy as np
import pytest

from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.probes import probe as probes
from m3i_jax.evaluation.probes.logistic import lbfgs
from m3i_jax.metrics import hits
from tests.evaluation.toy_features import tables


def test_top5_of_more_than_five_classes():
    train, test = tables(classes=8)
    probe = lbfgs(train, test, l2=1e-2)
    scores = probes.logits(probe.classifier, test.features)
    rank = (scores > np.take_along_axis(scores, test.labels[:, None], 1)).sum(1)
    assert probe.top1 == np.mean(rank < 1)
    assert probe.top5 == np.mean(rank < 5)
    assert probe.top1 < probe.top5 < 1


@pytest.mark.parametrize("m", [1, 7, 80])
def test_scores_are_exact_counts(m, monkeypatch):
    monkeypatch.setattr(probes, "CHUNK", 4)
    train, test = tables(n=40)
    test = FeatureSet(test.features[:m], test.labels[:m])
    probe = lbfgs(train, test, l2=1e-2)
    found = probes.logits(probe.classifier, test.features).argmax(1)
    assert probe.top1 == (found == test.labels).sum() / m


def test_ranks_are_the_hits_of_a_training_run():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (50, 7)).astype(np.float32)  # many are equal
    scores[3, 2], labels = np.nan, rng.integers(0, 7, 50)
    for k in (1, 2, 5):
        np.testing.assert_array_equal(probes.ranks(scores, labels) < k, hits(scores, labels, k=k))
