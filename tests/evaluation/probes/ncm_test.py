"""Nearest class means are scikit-learn's, of unit vectors."""

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes.ncm import nearest_class_mean, unit
from tests.evaluation.toy_features import standardised, tables


def clouds(**how):
    train, test = tables(**how)
    z = [standardised(train, t.features).astype(np.float32) for t in (train, test)]
    return FeatureSet(z[0], train.labels), FeatureSet(z[1], test.labels)


def test_the_answers_are_scikit_learns(monkeypatch):
    monkeypatch.setattr("m3i_jax.evaluation.probes.ncm.CHUNK", 32)
    train, test = clouds(classes=7)
    found = nearest_class_mean(train, test)
    # Of unit vectors the nearest is the one of highest cosine, but for the length of the means.
    peer = NearestCentroid().fit(unit(train.features), train.labels)
    peer.centroids_ = unit(peer.centroids_)
    answers = peer.predict(unit(test.features))
    assert found.metrics["top1"] == np.mean(answers == test.labels)
    own = [np.mean(answers[test.labels == c] == c) for c in range(7)]
    assert found.metrics["mean_per_class"] == pytest.approx(np.mean(own), abs=1e-12)
    assert found.metrics["top1"] < found.metrics["top5"] < 1
    assert abs(found.metrics["top1"] - np.mean(own)) > 1e-3


def test_a_class_that_training_lacks_is_never_answered():
    train, test = clouds()
    seen = train.labels != 2
    found = nearest_class_mean(FeatureSet(train.features[seen], train.labels[seen]), test)
    assert found.metrics["top1"] <= np.mean(test.labels != 2)
    assert found.hits[2] == 0 < found.counts[2]


def test_lengths_do_not_matter_and_zeros_are_no_fault():
    train, test = clouds()
    long = train._replace(features=train.features * np.geomspace(1e-25, 1e25, 150)[:, None])
    expected = nearest_class_mean(train, test).metrics
    assert nearest_class_mean(long, test).metrics == expected
    assert not unit(np.zeros((1, 3))).any()
    with pytest.raises(NotMeasurable, match="the nearest class mean tells classes apart"):
        nearest_class_mean(FeatureSet(train.features[:1], train.labels[:1]), test)
