"""A run's own label head, on whole test images, against its logits in float64."""

import numpy as np
import pytest

from m3i_jax.evaluation import datasets
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.tasks import without_fine_tuning
from tests.evaluation import toy_models


def right(scores, labels, k):
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (order == labels[:, None]).any(1)


@pytest.mark.parametrize("name", ["classification", "m3i", "mixed_classification"])
def test_top1_and_top5_are_those_of_the_decoder_and_the_table(tmp_path, name):
    evaluation = toy_models.evaluation(tmp_path, name)
    model, source = evaluation.model, evaluation.source("test")
    found = without_fine_tuning().measure(evaluation)
    features = model.network.encode(model.params, "image", toy_models.images(source))
    answers = model.network.decode(model.params, "category", features)
    table = model.params["encoders"]["category"]["kernel"]
    scores = np.float64(answers) @ np.float64(table).T
    labels = np.array([source[i].label for i in range(len(source))])
    assert found.metrics == {
        "top1": right(scores, labels, 1).mean(),
        "top5": right(scores, labels, 5).mean(),
    }
    assert found.counts == {"test": 43} and found.protocol == {"classes": 10, "own_classes": 10}
    assert len(set(scores.argmax(1))) > 2


def test_classes_are_matched_by_name_and_others_do_not_count(tmp_path):
    evaluation = toy_models.evaluation(tmp_path, "classification")
    model, own = evaluation.model, evaluation.classes
    order = [7, 2, 5]

    def opened(split, classes):
        """Three of the ten classes, in another order."""
        source = datasets.of_run(model).open(split, None)
        kept = [i for i in range(len(source)) if source[i].label in order]
        return Part(source, kept, order)

    class Part:
        name, evaluation_ratio = "part", 1.0
        classes = tuple(own[label] for label in order)

        def __init__(self, source, kept, order):
            self.source, self.kept = source, kept

        def __len__(self):
            return len(self.kept)

        def __getitem__(self, i):
            sample = self.source[self.kept[i]]
            return sample._replace(label=order.index(sample.label))

        def captions(self):
            return ()

        def fingerprint(self):
            return "part"

    other = Evaluation(model, datasets.Data("part", opened), batch=5)
    found = without_fine_tuning().measure(other)
    source = other.source("test")
    features = model.network.encode(model.params, "image", toy_models.images(source))
    answers = model.network.decode(model.params, "category", features)
    scores = np.float64(answers) @ np.float64(model.params["encoders"]["category"]["kernel"]).T
    labels = np.array([source[i].label for i in range(len(source))])
    expected = (scores[:, order].argmax(1) == labels).mean()
    assert found.metrics == {"top1": expected, "top5": None}
    assert found.protocol == {"classes": 3, "own_classes": 10}
    Part.classes = ("seven", "two", "cat")
    other = Evaluation(model, datasets.Data("part", opened), batch=5)
    with pytest.raises(NotMeasurable, match="which lack 'cat'"):
        without_fine_tuning().measure(other)


@pytest.mark.parametrize("batch", [7, 43, 100])
def test_padding_does_not_count_in_a_head_with_batch_norms(tmp_path, batch):
    head = dict(category=dict(name="pooled", norm="batch"))
    model = toy_models.of(tmp_path, "classification", decoders=head)
    evaluation = Evaluation(model, datasets.of_run(model), batch=batch)
    found = without_fine_tuning().measure(evaluation)
    source = evaluation.source("test")
    y = np.float64(model.network.encode(model.params, "image", toy_models.images(source)).tokens)
    y = y.mean(1)
    y = (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-6)
    scores = y @ np.float64(model.params["encoders"]["category"]["kernel"]).T
    labels = np.array([source[i].label for i in range(len(source))])
    assert found.metrics["top1"] == (scores.argmax(1) == labels).mean()
    assert found.protocol["statistics"] == "of the test set"


def test_a_head_that_keeps_running_statistics_takes_those(tmp_path):
    head = dict(category=dict(name="pooled", norm="running"))
    model = toy_models.of(tmp_path, "classification", decoders=head)
    rng = np.random.default_rng(0)
    mean, var = np.float32(rng.normal(size=16) / 9), np.float32(rng.uniform(0.5, 2.0, 16))
    model.params["decoders"]["category"]["norm"] = {"mean": mean, "var": var}
    evaluation = Evaluation(model, datasets.of_run(model), batch=43)
    found = without_fine_tuning().measure(evaluation)
    source = evaluation.source("test")
    y = np.float64(model.network.encode(model.params, "image", toy_models.images(source)).tokens)
    y = (y.mean(1) - mean) / np.sqrt(np.float64(var) + 1e-6)
    scores = y @ np.float64(model.params["encoders"]["category"]["kernel"]).T
    labels = np.array([source[i].label for i in range(len(source))])
    assert found.metrics["top1"] == (scores.argmax(1) == labels).mean()
    assert "statistics" not in found.protocol


def test_who_has_no_label_head_is_told(tmp_path):
    task = without_fine_tuning()
    with pytest.raises(NotMeasurable, match="predict a label .* no such term: it is of method 'ma"):
        task.measure(toy_models.evaluation(tmp_path, "mae"))
    model = toy_models.of(tmp_path, "classification")
    kept = {"encoders": {"image": model.params["encoders"]["image"]}}
    ema = model._replace(params=kept, branch="ema")
    with pytest.raises(NotMeasurable, match="the tower 'category' and the decoder 'category' of"):
        task.measure(Evaluation(ema, datasets.of_run(model)))
    pixels = model._replace(network=None, params=None, branch="pixels", name="pixels")
    with pytest.raises(NotMeasurable, match="'pixels' is no run of ours"):
        task.measure(Evaluation(pixels, datasets.of_run(model)))
