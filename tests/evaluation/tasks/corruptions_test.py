"""Accuracy on corrupted images is that of images that were corrupted beforehand."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import corruptions as common
from m3i_jax.evaluation import tasks
from m3i_jax.evaluation.probes.logistic import lbfgs
from m3i_jax.evaluation.probes.probe import logits
from m3i_jax.evaluation.tasks import corruptions
from m3i_jax.evaluation.tasks.corruptions import _summary
from tests.evaluation import toy_models


def beforehand(evaluation, name, severity):
    """Features of test images that were corrupted one by one."""
    source, model = evaluation.source("test"), evaluation.model
    images = np.stack([source[i].image for i in range(len(source))])
    if name:
        how = dict(name=name, severity=severity, table="cifar", seed=4)
        images = common.corrupted(images, np.arange(len(source)), **how)
    x = (images / np.float32(255) - np.float32([0.485, 0.456, 0.406])) / np.float32(
        [0.229, 0.224, 0.225]
    )
    return model.network.encode(model.params, "image", x)


@pytest.mark.parametrize("classifier", ["linear", "own_head"])
def test_every_share_is_counted_on_images_corrupted_beforehand(tmp_path, classifier):
    evaluation = toy_models.evaluation(tmp_path, "classification", train_limit=40)
    kinds, levels = ("gaussian_noise", "contrast", "fog"), (2, 5)
    task = corruptions(classifier=classifier, kinds=kinds, severity=levels, seed=4)
    found = task.measure(evaluation)
    probe = lbfgs(*evaluation.labelled()).classifier
    table = np.float64(evaluation.model.params["encoders"]["category"]["kernel"])

    def right(name, severity):
        x = beforehand(evaluation, name, severity)
        if classifier == "linear":
            scores = logits(probe, x.tokens.mean(1))
        else:
            model = evaluation.model
            scores = np.float64(model.network.decode(model.params, "category", x)) @ table.T
        return scores.argmax(1) == np.arange(43) % 10

    clean, shares = right("", 0), {}
    for name in kinds:
        shares |= {f"{name}_{level}": right(name, level) for level in levels}
    assert found.metrics["clean"] == clean.mean()
    for name, rows in shares.items():
        assert found.metrics[name] == rows.mean()
    every = np.mean([*shares.values()], axis=0)
    np.testing.assert_allclose(found.metrics["mean"], every.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.metrics["relative"], every.mean() / clean.mean(), rtol=1e-12)
    fog = (shares["fog_2"].mean() + shares["fog_5"].mean()) / 2
    np.testing.assert_allclose(found.metrics["fog"], fog, rtol=1e-12)
    assert found.protocol["strengths"] == "cifar" and found.counts["test"] == 43
    assert found.intervals.keys() == found.metrics.keys()


def test_the_interval_of_the_relative_accuracy_covers_it():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        luck = rng.random(400)  # a hard image is hard when it is corrupted, too
        clean = luck < 0.8
        right = {("fog", s): luck + 0.1 * rng.normal(size=400) < 0.4 for s in (1, 2)}
        low, high = _summary(clean, right)[1]["relative"]
        inside += low <= 0.5 <= high  # P(U + N(0, .1²) < .4) is .4
    assert 0.91 <= inside / 300 <= 0.99


def test_the_default_is_all_of_the_paper_that_need_no_files():
    task = corruptions()
    assert task.settings["severity"] == (1, 2, 3, 4, 5) and len(task.settings["kinds"]) == 14


@pytest.mark.parametrize(
    "block, sentence",
    [
        ({"kinds": ("fog", "frots")}, "kinds has 'frots', which is no corruption; there are: bri"),
        ({"kinds": "glas_blur"}, "did you mean 'glass_blur'"),
        ({"severity": 6}, "severity is 6, expected 1 to 5"),
        ({"severity": ()}, "a corruption and a severity are needed"),
        ({"classifier": "knn"}, "classifier is 'knn', expected one of linear"),
        ({"strengths": "big"}, "strengths is 'big', expected one of auto, imagenet, cifar"),
    ],
)
def test_what_there_is_not_is_a_sentence(block, sentence):
    with pytest.raises(ConfigError, match=sentence):
        tasks.create([{"name": "corruptions", **block}])
