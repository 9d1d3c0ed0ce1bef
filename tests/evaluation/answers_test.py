"""Right answers are counted exactly, and the file has what was answered."""

import json
from fractions import Fraction

import jax
import numpy as np
import pytest

from m3i_jax.evaluation.answers import Answers, answers, measures, write
from m3i_jax.evaluation.features import NotMeasurable


def drawn(rows, classes, *, seed=0):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=(rows, classes)), 1).astype(np.float32)  # with ties
    labels = rng.integers(-1, classes, rows).astype(np.int32)
    return scores, labels


@pytest.mark.parametrize("rows, classes", [(97, 7), (64, 3), (1, 2), (500, 30)])
def test_shares_are_those_of_counting_one_by_one(rows, classes):
    scores, labels = drawn(rows, classes)
    labels[0] = 1
    found = measures(answers(scores, labels), classes=classes)
    hits = {1: [], 5: []}
    per_class = {}
    for row, label in zip(scores, labels, strict=True):
        if label < 0:
            continue
        order = sorted(range(classes), key=lambda c, row=row: (-row[c], c))
        for k in hits:
            hits[k].append(label in order[:k])
        per_class.setdefault(int(label), []).append(label == order[0])
    mean = lambda right: Fraction(sum(map(bool, right)), len(right))  # noqa: E731
    assert found["top1"] == float(mean(hits[1]))
    assert ("top5" in found) == (classes > 5)
    if classes > 5:
        assert found["top5"] == float(mean(hits[5]))
    wanted = sum(mean(right) for right in per_class.values()) / len(per_class)
    np.testing.assert_allclose(found["mean_per_class"], float(wanted), rtol=1e-14)


def test_probabilities_are_the_softmax_or_of_each_category_alone():
    scores, labels = drawn(20, 8)
    one, each = answers(scores, labels), answers(scores, labels, binary=True)
    exact = np.exp(np.float64(scores))
    softmax = np.take_along_axis(exact / exact.sum(1, keepdims=True), np.asarray(one.best), 1)
    sigmoid = np.take_along_axis(exact / (1 + exact), np.asarray(each.best), 1)
    np.testing.assert_allclose(one.probability, softmax, rtol=2e-6)
    np.testing.assert_allclose(each.probability, sigmoid, rtol=2e-6)
    assert (np.diff(one.probability, axis=1) <= 0).all()


def test_a_row_of_scores_that_are_no_numbers_is_wrong():
    scores = np.float32([[np.nan, 1, 0], [3, 1, 0]])
    found = answers(scores, np.int32([0, 0]))
    assert found.best[0].tolist() == [-1, -1, -1] and measures(found, classes=3)["top1"] == 0.5


def test_nothing_to_count_is_a_sentence():
    with pytest.raises(NotMeasurable, match="none of the images that can be read has a label"):
        measures(answers(np.zeros((2, 3), np.float32), np.int32([-1, -1])), classes=3)


def test_the_file_has_names_labels_and_probabilities(tmp_path):
    scores, labels = drawn(6, 4)
    labels[2] = -1
    found = jax.device_get(answers(scores, labels))
    names, classes = [f"{i}.png" for i in range(6)], ("ant", "bee", "cat", "dog")
    with np.load(write(tmp_path / "new" / "predictions.npz", found, names, classes)) as file:
        assert file["names"].tolist() == names and file["classes"].tolist() == list(classes)
        for name, column in found._asdict().items():
            np.testing.assert_array_equal(file[name], column)
    lines = write(tmp_path / "predictions.jsonl", found, names, classes).read_text().splitlines()
    for i, line in enumerate(map(json.loads, lines)):
        assert line["name"] == names[i]
        assert line["label"] == (None if i == 2 else classes[labels[i]])
        best, shares = zip(*line["best"], strict=True)
        assert best == tuple(classes[c] for c in found.best[i])
        np.testing.assert_allclose(shares, found.probability[i], atol=1e-6)
    assert len(lines) == 6 and not list(tmp_path.glob("*.partial"))


def test_answers_are_rows():
    assert Answers._fields == ("labels", "best", "probability")
