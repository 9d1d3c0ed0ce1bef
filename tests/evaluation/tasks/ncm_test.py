"""The task is the numeric, with counts and an interval of its own."""

from m3i_jax.evaluation.intervals import mean_of_shares
from m3i_jax.evaluation.probes.ncm import nearest_class_mean
from m3i_jax.evaluation.tasks import ncm
from tests.evaluation.toy_features import evaluation, tables


def test_the_measures_are_those_of_the_classifier():
    train, test = tables()
    found, right = ncm().measure(evaluation(train, test)), nearest_class_mean(train, test)
    assert found.metrics == right.metrics and found.counts == {"train": 150, "test": 80}
    assert found.intervals == {"mean_per_class": mean_of_shares(right.hits, right.counts)}
