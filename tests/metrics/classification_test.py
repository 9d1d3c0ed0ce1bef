"""Hits and accuracy against counting by hand."""

import numpy as np
import pytest

from m3i_jax import metrics

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_hits_equal_a_stable_sort(k):
    logits = RNG.integers(0, 5, (200, 10)).astype(np.float32)  # many ties
    labels = RNG.integers(0, 10, 200)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    wanted = (best == labels[:, None]).any(1)
    np.testing.assert_array_equal(metrics.hits(logits, labels, k=k), wanted)


def test_a_constant_output_scores_chance():
    labels = np.arange(10)
    assert metrics.accuracy(np.ones((10, 10)), labels) == np.float32(0.1)
    assert metrics.accuracy(np.ones((10, 10)), labels, k=5) == 0.5


def test_nan_and_padding_are_never_right():
    logits = np.array([[np.nan, 1, 0], [0, np.nan, 1], [3, 1, 2], [9, 1, 2]], np.float32)
    labels = np.array([0, 2, 0, -1])
    np.testing.assert_array_equal(metrics.hits(logits, labels), [False, False, True, False])


def test_padding_is_never_counted():
    logits, labels = RNG.normal(size=(30, 4)), RNG.integers(0, 4, 30)
    score = metrics.accuracy(logits, labels)
    assert score == np.float32((logits.argmax(1) == labels).mean())
    padded = np.concatenate([logits, np.zeros((10, 4))])
    assert metrics.accuracy(padded, np.r_[labels, np.full(10, -1)]) == score
    weights = np.r_[np.ones(30), np.zeros(10)]
    np.testing.assert_allclose(
        metrics.accuracy(padded, np.r_[labels, np.zeros(10, int)], weights=weights), score
    )
    assert metrics.accuracy(padded, np.full(40, -1)) == 0


def test_weights_weigh():
    logits = np.eye(3)
    value = metrics.accuracy(logits, np.array([0, 1, 0]), weights=np.array([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(value, 3 / 8)
