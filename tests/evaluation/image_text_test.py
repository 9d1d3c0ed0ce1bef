"""Images and texts as vectors: those of the towers and of the head, whatever the batch."""

import numpy as np
import pytest

from m3i_jax.data import captions
from m3i_jax.evaluation import datasets, image_text
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation import toy_models

WORDS = ["a red two", "", "a blue seven on a photograph of grass", "a red two", "zzz"]


def test_texts_are_unit_codes_of_the_text_tower(tmp_path, monkeypatch):
    evaluation = toy_models.evaluation(tmp_path, "clip")
    model, tokenizer = evaluation.model, captions.load(tmp_path / "tokenizer.json")
    tokens = np.stack([tokenizer.encode(text) for text in WORDS])
    want = np.float64(model.network.encode(model.params, "text", tokens).pooled)
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    for batch in (2, 256):
        monkeypatch.setattr(image_text, "BATCH", batch)
        found = image_text.of(evaluation, what="it").text(WORDS)
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[0], found[3])
    assert image_text.of(evaluation, what="it").tokens == tokenizer.length


@pytest.mark.parametrize("name", ["clip", "m3i", "siglip"])
def test_images_are_what_their_decoder_says_without_a_bias(tmp_path, name):
    evaluation = toy_models.evaluation(tmp_path, name)
    model = evaluation.model
    compared = image_text.of(evaluation, what="it")
    found = evaluation.mapped("test", compared.image, name=compared.name).features
    x = model.network.encode(model.params, "image", toy_models.images(evaluation.source("test")))
    want = model.network.decode(model.params, "text", x)
    assert want.shape[1] == 16 + (name == "siglip")
    np.testing.assert_allclose(found, want[:, :16], rtol=1e-4, atol=1e-5)


def test_what_has_no_texts_is_a_sentence(tmp_path):
    with pytest.raises(NotMeasurable, match="it needs a model that .* predict a text .*'mae'"):
        image_text.of(toy_models.evaluation(tmp_path, "mae"), what="it")
    evaluation = toy_models.evaluation(tmp_path, "clip")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(NotMeasurable, match="it needs the tokenizer that the text tower was"):
        image_text.of(evaluation, what="it")
    model = evaluation.model
    kept = {"encoders": {"image": model.params["encoders"]["image"]}}
    ema = Evaluation(model._replace(params=kept, branch="ema"), datasets.of_run(model))
    with pytest.raises(NotMeasurable, match="'ema' does not keep; take --branch online"):
        image_text.of(ema, what="it")
