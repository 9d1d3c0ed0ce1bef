"""Retrieval, against sorting all pairs in float64."""

import numpy as np
import pytest

from m3i_jax.evaluation import retrieval
from m3i_jax.evaluation.features import NotMeasurable


def drawn(n, captions, width=8, noise=1.0, seed=0):
    """n images with one to `captions` texts each, in no order."""
    rng = np.random.default_rng(seed)
    owners = np.concatenate([np.arange(n), rng.integers(0, n, rng.integers(0, n * captions))])
    rng.shuffle(owners)
    images = rng.normal(size=(n, width))
    texts = images[owners] + noise * rng.normal(size=(len(owners), width))
    return images.astype(np.float32), texts.astype(np.float32), owners


def brute(images, texts, owners, k):
    """Counts by sorting all pairs, whatever is equal with its own last."""
    unit = lambda x: np.float64(x) / np.linalg.norm(np.float64(x), axis=1, keepdims=True)  # noqa: E731
    near = unit(images) @ unit(texts).T
    found = [0, 0]
    for i in range(len(images)):
        order = sorted(range(len(texts)), key=lambda j: (-near[i, j], owners[j] == i))
        found[0] += any(owners[j] == i for j in order[:k])
    for j in range(len(texts)):
        order = sorted(range(len(images)), key=lambda i: (-near[i, j], owners[j] == i))
        found[1] += owners[j] in order[:k]
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_recalls_are_those_of_all_pairs_sorted(seed, chunk):
    n = int(np.random.default_rng(seed).integers(2, 40))
    images, texts, owners = drawn(n, 3, seed=seed)
    found = retrieval.recalls(images, texts, owners, ks=(1, 2, 5, 100), chunk=chunk)
    for k in (1, 2, 5, 100):
        ours = [found["image_to_text"][k], found["text_to_image"][k]]
        assert ours == brute(images, texts, owners, k)
    assert found["image_to_text"][100] == n and found["text_to_image"][100] == len(texts)


def test_one_of_several_captions_is_enough_for_an_image_and_each_counts_for_itself():
    images = np.eye(3, dtype=np.float32)
    texts = np.array([[1, 0, 0], [0, 1, 0.1], [0, 1, 0], [0, 0, 1]], np.float32)
    owners = np.array([0, 0, 1, 2])  # the second text of image 0 describes image 1
    found = retrieval.recalls(images, texts, owners, ks=(1,))
    assert found == {"image_to_text": {1: 3}, "text_to_image": {1: 3}}


def test_ties_count_against():
    same = np.ones((5, 3), np.float32)
    found = retrieval.recalls(same, same, np.arange(5), ks=(1, 4, 5))
    assert found["image_to_text"] == {1: 0, 4: 0, 5: 5} == found["text_to_image"]


@pytest.mark.parametrize("width", [3, 64, 130])
def test_equal_captions_of_different_images_are_ties_whatever_place_they_have(width):
    rng = np.random.default_rng(width)
    images = rng.normal(size=(37, width)).astype(np.float32)
    texts = np.concatenate([images, images])  # each caption twice, the copy of the next image
    owners = np.concatenate([np.arange(37), (np.arange(37) + 1) % 37])
    found = retrieval.recalls(images, texts, owners, ks=(1, 2))
    assert found["image_to_text"] == {1: 0, 2: 37}
    assert found["text_to_image"][1] == 37


@pytest.mark.parametrize(
    "images, texts, owners, sentence",
    [
        (np.ones((1, 2)), np.ones((2, 2)), [0, 0], "two images or more to choose from"),
        (np.ones((0, 2)), np.ones((0, 2)), [], "there is no"),
        (np.ones((3, 2)), np.ones((2, 2)), [0, 2], "1 of 3 images have no caption"),
        (np.ones((2, 2)), np.full((2, 2), np.nan), [0, 1], "2 of 2 captions have embeddings"),
    ],
)
def test_what_no_recall_is_counted_on_is_a_sentence(images, texts, owners, sentence):
    with pytest.raises(NotMeasurable, match=sentence):
        retrieval.recalls(images, texts, np.array(owners, int))
