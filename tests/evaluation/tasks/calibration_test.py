"""Calibration of each classifier, against scikit-learn on its probabilities."""

import numpy as np
import pytest
import scipy.special
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from m3i_jax.evaluation.calibration import fitted_temperature
from m3i_jax.evaluation.classifiers import CLASSIFIERS
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.tasks import calibration
from tests.evaluation import toy_models


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_errors_and_scores_are_those_of_its_probabilities(tmp_path, name):
    evaluation = toy_models.evaluation(tmp_path)
    found = calibration(classifier=name, bins=5).measure(evaluation)
    scores, labels = CLASSIFIERS[name](evaluation, what="it").scored(None)
    p = scipy.special.softmax(np.float64(scores), axis=1)
    sure, right = p.max(1), p.argmax(1) == labels
    metrics = dict(found.metrics)
    np.testing.assert_allclose(metrics["nll"], log_loss(labels, p, labels=range(10)), rtol=1e-10)
    brier = np.square(p - np.eye(10)[labels]).sum(1)
    np.testing.assert_allclose(metrics["brier"], brier.mean(), rtol=1e-10)
    low, high = found.intervals["brier"]
    assert low < brier.mean() < high
    np.testing.assert_allclose(high - low, 3.92 * brier.std(ddof=1) / np.sqrt(43), rtol=1e-3)
    for measure, strategy in (("ece", "uniform"), ("ece_mass", "quantile")):
        accuracy, confidence = calibration_curve(right, sure, n_bins=5, strategy=strategy)
        ends = np.linspace(0, 1, 6)
        ends = ends if strategy == "uniform" else np.quantile(sure, ends)
        count = np.histogram(sure, ends)[0]
        count = count[count > 0]
        gaps = np.abs(accuracy - confidence)
        np.testing.assert_allclose(metrics[measure], (gaps * count).sum() / 43, rtol=1e-10)
        if measure == "ece":
            np.testing.assert_allclose(metrics["mce"], gaps.max(), rtol=1e-10)
            table = np.array(found.protocol["reliability"])
            np.testing.assert_allclose(table[:, 4], accuracy, rtol=1e-12)
    assert found.counts["test"] == 43


def test_each_half_has_the_temperature_of_the_other(tmp_path):
    evaluation = toy_models.evaluation(tmp_path)
    found = calibration(classifier="own_head", seed=2).measure(evaluation).metrics
    scores, labels = CLASSIFIERS["own_head"](evaluation, what="it").scored(None)
    order = np.random.default_rng(2).permutation(43)
    one, two = order[:21], order[21:]
    t = [fitted_temperature(scores[half], labels[half]) for half in (one, two)]
    np.testing.assert_allclose(found["temperature"], np.sqrt(t[0] * t[1]), rtol=1e-12)
    losses = []
    for half, other in ((one, t[1]), (two, t[0])):
        log_p = scipy.special.log_softmax(np.float64(scores[half]) / other, axis=1)
        losses += [-log_p[i, y] for i, y in enumerate(labels[half])]
    np.testing.assert_allclose(found["nll_scaled"], np.mean(losses), rtol=1e-10)


def test_one_image_has_no_halves(tmp_path):
    evaluation = toy_models.evaluation(tmp_path, "classification", test_limit=1)
    with pytest.raises(NotMeasurable, match="needs two labelled test images or more"):
        calibration(classifier="own_head").measure(evaluation)
