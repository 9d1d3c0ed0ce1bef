"""Class embeddings and scores, a step after the other in float64."""

import numpy as np
import pytest

from m3i_jax.evaluation import zero_shot


def test_sentences_of_a_class_are_in_succession():
    made = zero_shot.sentences(("cat", "{}"), ("a {}", "the {} {}"))
    assert made == ["a cat", "the cat cat", "a {}", "the {} {}"]


def test_classes_are_directions_of_means_of_directions():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 7, 5)) * rng.uniform(0.1, 10, (4, 7, 1))
    images = 14.0 * rng.normal(size=(3, 5))
    found = zero_shot.prototypes(x.astype(np.float32))
    for c in range(4):
        mean = sum(x[c, t] / np.sqrt((x[c, t] ** 2).sum()) for t in range(7)) / 7
        np.testing.assert_allclose(found[c], mean / np.sqrt((mean**2).sum()), rtol=1e-6)
        for i in range(3):
            score = sum(images[i] * mean) / np.sqrt((mean**2).sum())
            np.testing.assert_allclose(zero_shot.scores(images, found)[i, c], score, rtol=1e-5)


def test_a_direction_of_nothing_is_refused():
    with pytest.raises(ValueError, match="an embedding is 0"):
        zero_shot.prototypes(np.zeros((2, 1, 3)))
    with pytest.raises(ValueError, match="an embedding is 0"):
        zero_shot.prototypes(np.array([[[1.0, 0.0], [-1.0, 0.0]]]))


def test_classes_of_one_vector_are_found():
    classes = np.random.default_rng(0).normal(size=(5, 3))[[0, 1, 2, 1, 4, 0]]
    assert zero_shot.alike(classes) == [0, 1, 3, 5]
    assert zero_shot.alike(classes[:3]) == []
