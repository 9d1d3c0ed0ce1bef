"""Calibration and proper scores, against scikit-learn and against definitions in a loop."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from m3i_jax.evaluation import calibration


def drawn(n=5000, classes=7, sharp=3.0, seed=0):
    """Logits of a classifier that is `sharp` times too sure: labels are drawn from softmax(z)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, classes)) * 1.5
    p = scipy.special.softmax(z, axis=1)
    labels = (p.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=classes - 1)
    return sharp * z, labels


def test_scores_are_those_of_scikit_learn():
    logits, labels = drawn()
    p = scipy.special.softmax(logits, axis=1)
    found = calibration.judged(logits, labels)
    np.testing.assert_allclose(found.confidence, p.max(1), rtol=1e-14)
    np.testing.assert_array_equal(found.right, p.argmax(1) == labels)
    np.testing.assert_allclose(found.likelihood.mean(), log_loss(labels, p), rtol=1e-12)
    halves = [np.square(p[:, c] - (labels == c)).mean() for c in range(7)]
    np.testing.assert_allclose(found.brier.mean(), sum(halves), rtol=1e-12)
    ours = calibration.judged(np.stack([-logits[:, 0], 0 * labels], 1), labels % 2)
    one = brier_score_loss(labels % 2, scipy.special.expit(logits[:, 0]))
    np.testing.assert_allclose(ours.brier.mean(), 2 * one, rtol=1e-12)


@pytest.mark.parametrize("equal, strategy", [("width", "uniform"), ("mass", "quantile")])
@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("rounded", [False, True])
def test_the_reliability_table_is_that_of_scikit_learn(equal, strategy, bins, rounded):
    found = calibration.judged(*drawn(n=4999))
    sure = found.confidence.round(1) if rounded else found.confidence  # ties, and on the ends
    table = calibration.reliability(sure, found.right, bins=bins, equal=equal)
    accuracy, confidence = calibration_curve(found.right, sure, n_bins=bins, strategy=strategy)
    np.testing.assert_allclose(table.accuracy, accuracy, rtol=1e-12)
    np.testing.assert_allclose(table.confidence, confidence, rtol=1e-12)
    assert table.count.sum() == 4999


def test_the_errors_are_the_definition_in_a_loop():
    found = calibration.judged(*drawn(n=777))
    gaps, total = [], 0.0
    for m in range(15):
        inside = (found.confidence > m / 15) & (found.confidence <= (m + 1) / 15)
        if inside.any():
            gap = abs(found.right[inside].mean() - found.confidence[inside].mean())
            gaps.append(gap)
            total += gap * inside.sum() / 777
    table = calibration.reliability(found.confidence, found.right)
    np.testing.assert_allclose(table.expected_error, total, rtol=1e-12)
    np.testing.assert_allclose(table.maximum_error, max(gaps), rtol=1e-12)


def test_bins_of_equal_mass_have_as_many_rows():
    found = calibration.judged(*drawn(n=1500))
    table = calibration.reliability(found.confidence, found.right, equal="mass")
    assert set(table.count) <= {99, 100, 101} and table.count.sum() == 1500


def test_who_is_calibrated_has_no_error_and_who_is_too_sure_has_one():
    good, bad = (calibration.judged(*drawn(n=200_000, sharp=sharp)) for sharp in (1.0, 3.0))
    # √(p(1−p)/n) of a bin is at most 0.5/√13 000 = 0.004.
    assert calibration.reliability(good.confidence, good.right).expected_error < 0.004
    assert calibration.reliability(bad.confidence, bad.right).expected_error > 0.1


@pytest.mark.parametrize("sharp", [0.2, 1.0, 3.0])
def test_the_temperature_is_the_likeliest_one(sharp):
    logits, labels = drawn(sharp=sharp)
    found = calibration.fitted_temperature(logits, labels)

    def loss(t):
        return log_loss(labels, scipy.special.softmax(logits / t, axis=1))

    best = scipy.optimize.minimize_scalar(loss, bounds=(0.01, 10), options={"xatol": 1e-9})
    np.testing.assert_allclose(found, best.x, rtol=1e-6)
    np.testing.assert_allclose(found, sharp, rtol=0.1)  # what they were drawn with
    scaled = calibration.judged(logits, labels, temperature=found)
    np.testing.assert_allclose(scaled.likelihood.mean(), best.fun, rtol=1e-10)


def test_temperatures_without_an_optimum_are_the_ends():
    logits = np.eye(4) * 2
    assert calibration.fitted_temperature(logits, np.arange(4)) == calibration.COLDEST
    assert calibration.fitted_temperature(logits, (np.arange(4) + 1) % 4) == calibration.HOTTEST
    assert calibration.fitted_temperature(0 * logits, np.arange(4)) == calibration.HOTTEST


def test_certainty_has_a_likelihood_and_a_score():
    found = calibration.judged(np.array([[0.0, 800.0], [0.0, 800.0]]), np.array([1, 0]))
    np.testing.assert_array_equal(found.confidence, [1.0, 1.0])
    np.testing.assert_array_equal(found.likelihood, [0.0, 800.0])
    np.testing.assert_array_equal(found.brier, [0.0, 2.0])


@pytest.mark.parametrize(
    "logits, labels, sentence",
    [
        (np.zeros((0, 3)), np.zeros(0, int), "expected"),
        (np.zeros((3, 3)), np.zeros(2, int), r"labels of shape \(2,\)"),
        (np.zeros((3, 3)), np.array([0, 1, 3]), "labels from 0 to 3 of 3"),
        (np.zeros((3, 3)), np.array([0, 1, -1]), "labels from -1 to 1"),
        (np.array([[0.0, np.nan]]), np.array([0]), "1 of 1 rows have logits that are not finite"),
    ],
)
def test_what_has_no_probabilities_is_refused(logits, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        calibration.judged(logits, labels)
