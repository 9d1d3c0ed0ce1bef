"""Retrieval on images with several captions, against all pairs in float64."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data import captions
from m3i_jax.evaluation import datasets
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.tasks import retrieval
from tests.evaluation import toy_models


class Captioned:
    """Digit scenes, of which image i has i % 4 captions; image 5 cannot be read."""

    name, classes, evaluation_ratio = "captioned", (), 1.0

    def __init__(self, source):
        self.source = source
        self.lines = list(source.captions())

    def said(self, i):
        return [f"{self.lines[i]}, number {n}" if n else self.lines[i] for n in range(i % 4)]

    def __len__(self):
        return len(self.source)

    def __getitem__(self, i):
        return self.source[i]._replace(caption="\n".join(self.said(i)))

    def read(self, i):
        return None if i == 5 else self[i]

    def captions(self):
        return ("\n".join(self.said(i)) for i in range(len(self)))

    def fingerprint(self):
        return "captioned"


def captioned(workdir, wrap=Captioned):
    evaluation = toy_models.evaluation(workdir, "clip")
    opened = lambda split, classes: wrap(datasets.of_run(evaluation.model).open(split, None))  # noqa: E731
    return Evaluation(evaluation.model, datasets.Data("captioned", opened), batch=9)


@pytest.mark.parametrize("most", [1, 5])
def test_recalls_are_those_of_all_pairs(tmp_path, most):
    evaluation = captioned(tmp_path)
    found = retrieval(captions=most).measure(evaluation)
    model, source = evaluation.model, evaluation.source("test")
    tokenizer = captions.load(tmp_path / "tokenizer.json")
    kept = [i for i in range(43) if i % 4 and i != 5]
    x = model.network.encode(model.params, "image", toy_models.images(source))
    images = np.float64(model.network.decode(model.params, "text", x))[kept]
    said = [(row, text) for row, i in enumerate(kept) for text in source.said(i)[:most]]
    owners = np.array([row for row, _ in said])
    tokens = np.stack([tokenizer.encode(text) for _, text in said])
    texts = np.float64(model.network.encode(model.params, "text", tokens).pooled)
    near = images @ texts.T / np.linalg.norm(images, axis=1)[:, None]
    # Differences of cosines below float32's rounding are ties of equal captions.
    near = near.round(6)
    assert found.counts == {"test": len(kept), "captions": len(said)}
    for k in (1, 5, 10):
        rights = [0, 0]
        for row in range(len(kept)):
            order = sorted(range(len(said)), key=lambda j: (-near[row, j], owners[j] == row))
            rights[0] += any(owners[j] == row for j in order[:k])
        for j in range(len(said)):
            order = sorted(range(len(kept)), key=lambda i: (-near[i, j], owners[j] == i))
            rights[1] += owners[j] in order[:k]
        assert found.metrics[f"image_to_text_r{k}"] == rights[0] / len(kept)
        assert found.metrics[f"text_to_image_r{k}"] == rights[1] / len(said)
    both = [found.metrics[f"{way}_r1"] for way in ("image_to_text", "text_to_image")]
    assert found.metrics["mean_r1"] == sum(both) / 2


def test_bad_input_is_a_sentence(tmp_path):
    class Silent(Captioned):
        def said(self, i):
            return []

    class One(Captioned):
        def said(self, i):
            return ["a two"] * (i == 2)

    with pytest.raises(NotMeasurable, match="none of the test split has one; put NAME.txt beside"):
        retrieval().measure(captioned(tmp_path, Silent))
    with pytest.raises(NotMeasurable, match="two images or more to choose from, and there is 1"):
        retrieval().measure(captioned(tmp_path, One))
    with pytest.raises(NotMeasurable, match="retrieval needs a model that was trained to predict"):
        retrieval().measure(toy_models.evaluation(tmp_path, "mae"))
    with pytest.raises(ConfigError, match="k is empty"):
        retrieval(k=())


def test_the_headline_is_there():
    assert retrieval().headline == retrieval(k=(5, 1)).headline == "mean_r1"
    assert retrieval(k=5).headline == "image_to_text_r5"
