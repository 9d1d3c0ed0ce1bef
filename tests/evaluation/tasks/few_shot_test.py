"""Each number is the mean over its draws, with Student's interval of them."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.intervals import student
from m3i_jax.evaluation.probes import few_shot as fits
from m3i_jax.evaluation.tasks import create, few_shot, written
from tests.evaluation.toy_features import evaluation, standardised, tables


def test_a_number_is_the_mean_of_scikit_learns_over_the_draws():
    train, test = tables()
    found = few_shot(shots=(2, 5), draws=3, seed=4).measure(evaluation(train, test))
    values = []
    for seed in (4, 5, 6):
        rows = fits.draw(train.labels, shots=5, seed=seed)
        few = train._replace(features=train.features[rows])
        peer = RidgeClassifierCV(alphas=fits.PENALTIES)
        peer.fit(standardised(few, few.features), train.labels[rows])
        values.append(peer.score(standardised(few, test.features), test.labels))
    assert found.metrics["top1_5shot"] == pytest.approx(np.mean(values), abs=1e-12)
    assert found.intervals["top1_5shot"] == pytest.approx(student(values))
    assert found.counts == {"test": 80, "train_2shot": 6, "train_5shot": 15}
    assert len(set(values)) > 1 and found.protocol["draws_top1"]["top1_5shot"] == values


def test_logistic_regression_of_a_share_is_scikit_learns():
    train, test = tables()
    task = few_shot(method="logistic", shots=(), shares=0.1, draws=1)
    found = task.measure(evaluation(train, test))
    rows = fits.draw(train.labels, share=0.1)
    x, z = (fits.msn_rows(t.features) for t in (train, test))
    peer = LogisticRegression(C=10, fit_intercept=False, tol=1e-8, max_iter=1000)
    expected = peer.fit(x[rows], train.labels[rows]).score(z, test.labels)
    assert found.metrics == {"top1_10pct": pytest.approx(expected, abs=1e-12)}
    assert found.intervals == {} and task.headline == "top1_10pct"
    assert task.settings["l2"] == 0.1
    assert written(task).startswith("few_shot:shots=(),shares=(0.1,),method=logistic")
    assert few_shot(shares=(0.01, 0.1)).headline == "top1_10pct", "what was asked for is shown"


@pytest.mark.parametrize(
    "block, sentence",
    [
        ({"shots": 0}, "shots is 0"),
        ({"shares": 1.5}, "shares is 1.5"),
        ({"shots": []}, "shots and shares are empty"),
        ({"method": "rigde"}, "method is 'rigde', expected ridge or logistic"),
        ({"strength": 1.0}, "strength is the penalty of method=logistic"),
        ({"draws": 0}, "draws is 0"),
    ],
)
def test_wrong_settings_are_sentences(block, sentence):
    with pytest.raises(ConfigError, match=sentence):
        create([{"name": "few_shot", **block}])


def test_a_class_of_fewer_images_is_named():
    train, test = tables(n=12)
    with pytest.raises(NotMeasurable, match="5 shots need as many .* 'ant' has 2; give at most"):
        few_shot(shots=5).measure(evaluation(train, test))
