"""Ridge and logistic regression of few rows are scikit-learn's, and draws are what they say."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifierCV

from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes import few_shot
from m3i_jax.evaluation.probes.probe import logits
from tests.evaluation.toy_features import standardised, tables


@pytest.mark.parametrize("n, width", [(40, 6), (24, 60)])
def test_ridge_equals_scikit_learn(n, width):
    train, test = tables(n=n, width=width, classes=4)
    found = few_shot.ridge(train, 4)
    x, y = standardised(train, train.features), train.labels
    peer = RidgeClassifierCV(alphas=few_shot.PENALTIES).fit(x, y)
    assert found.penalty == peer.alpha_
    assert few_shot.PENALTIES[0] < found.penalty < few_shot.PENALTIES[-1]
    np.testing.assert_allclose(found.classifier.kernel, peer.coef_.T, atol=1e-9)
    np.testing.assert_allclose(found.classifier.bias, peer.intercept_, atol=1e-9)
    scores = logits(found.classifier, test.features)
    expected = peer.decision_function(standardised(train, test.features))
    np.testing.assert_allclose(scores, expected, atol=1e-9)


def test_leave_one_out_errors_are_those_of_leaving_one_out():
    train, _ = tables(n=15, width=30)
    x, y = standardised(train, train.features), 2.0 * np.eye(3)[train.labels] - 1
    errors = few_shot.ridge(train, 3, penalties=(0.5, 40.0)).errors
    for alpha, error in zip((0.5, 40.0), errors, strict=True):
        left = []
        for i in range(15):
            rest = np.arange(15) != i
            fit = Ridge(alpha=alpha).fit(x[rest], y[rest])
            left.append(np.square(y[i] - fit.predict(x[i : i + 1])[0]).mean())
        assert error == pytest.approx(np.mean(left), rel=1e-9)


def test_msn_equals_scikit_learn():
    train, test = tables(n=40, width=12)
    few, asked = (t._replace(features=few_shot.msn_rows(t.features)) for t in (train, test))
    wanted = train.features.astype(np.float64)
    wanted -= wanted.mean(1, keepdims=True)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(few.features, wanted, atol=1e-7)
    found = few_shot.msn(few, 3, strength=0.1)
    peer = LogisticRegression(C=1 / 0.1, fit_intercept=False, tol=1e-10, max_iter=10_000)
    peer.fit(wanted, train.labels)
    # A gradient of 1e-6 at a curvature of .1/40 or more.
    np.testing.assert_allclose(found.kernel, peer.coef_.T, atol=4e-4)
    assert not found.bias.any() and abs(found.kernel).max() > 1
    answers = logits(found, asked.features).argmax(1)
    np.testing.assert_array_equal(answers, peer.predict(few_shot.msn_rows(test.features)))


def test_draws_are_balanced_nested_and_others_for_another_seed():
    labels = np.repeat([0, 1, 3], [7, 20, 40])
    five, two = (few_shot.draw(labels, shots=k) for k in (5, 2))
    assert np.bincount(labels[five]).tolist() == [5, 5, 0, 5] and len(set(five)) == 15
    assert set(two) < set(five)
    assert set(few_shot.draw(labels, shots=5, seed=1)) != set(five)
    tenth = few_shot.draw(labels, share=0.1)
    assert np.bincount(labels[tenth]).tolist() == [1, 2, 0, 4], "one at least"


def test_too_many_shots_are_a_sentence():
    labels = np.repeat([0, 1], [3, 9])
    with pytest.raises(NotMeasurable, match="5 shots need as many .* but 'ant' has 3"):
        few_shot.draw(labels, shots=5, names=("ant", "bee"))
    with pytest.raises(NotMeasurable, match="but '0' has 3"):
        few_shot.draw(labels, shots=5)
    with pytest.raises(ValueError, match="either shots or a share"):
        few_shot.draw(labels)


def test_one_image_of_each_class_is_enough():
    train, test = tables(n=30)
    rows = few_shot.draw(train.labels, shots=1)
    found = few_shot.ridge(FeatureSet(train.features[rows], train.labels[rows]), 3)
    assert np.isfinite(logits(found.classifier, test.features)).all()
