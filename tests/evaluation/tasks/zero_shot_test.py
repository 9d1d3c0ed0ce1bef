"""Zero-shot classification, a step after the other in float64."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data import captions
from m3i_jax.evaluation import prompts
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.tasks import zero_shot
from tests.evaluation import toy_models


def reference(evaluation, tokenizer, names, templates):
    """Which classes are first and among the first five, of each test image."""
    model, rows = evaluation.model, []
    unit = lambda v: v / np.sqrt((v**2).sum(-1, keepdims=True))  # noqa: E731
    for name in names:
        tokens = np.stack([tokenizer.encode(t.replace("{}", name)) for t in templates])
        codes = np.float64(model.network.encode(model.params, "text", tokens).pooled)
        rows.append(unit(unit(codes).mean(0)))
    x = model.network.encode(model.params, "image", toy_models.images(evaluation.source("test")))
    images = np.float64(model.network.decode(model.params, "text", x))
    scores = unit(images) @ np.stack(rows).T
    labels = np.array(
        [sample.label for sample in map(evaluation.source("test").__getitem__, range(43))]
    )
    order = np.argsort(-scores, axis=1, kind="stable")
    return [(order[:, :k] == labels[:, None]).any(1).mean() for k in (1, 5)]


@pytest.mark.parametrize("name", ["clip", "m3i"])
@pytest.mark.parametrize("templates", ["plain", "file"])
def test_the_mean_of_templates_classifies(tmp_path, name, templates):
    evaluation = toy_models.evaluation(tmp_path / "run", name)
    tokenizer = captions.load(tmp_path / "run" / "tokenizer.json")
    names, settings, lines = evaluation.classes, {"templates": templates}, ("a photo of a {}.",)
    if templates == "file":
        lines = ("a small red {}", "a {} on a photograph of grass", "the {}, lower left")
        names = ("nought", *names[1:])
        settings = {"templates": str(tmp_path / "t.txt"), "names": str(tmp_path / "n.txt")}
        (tmp_path / "t.txt").write_text("\n".join(lines))
        (tmp_path / "n.txt").write_text("zero\tnought\n")
    found = zero_shot(**settings).measure(evaluation)
    top1, top5 = reference(evaluation, tokenizer, names, lines)
    assert found.metrics == {"top1": top1, "top5": top5} and found.counts == {"test": 43}
    assert found.protocol == {
        "sentences": len(lines), "classes": 10, "tokens": tokenizer.length
    }  # fmt: skip


def test_names_that_the_tokenizer_lacks_are_said(tmp_path, caplog):
    evaluation = toy_models.evaluation(tmp_path / "run", "clip")
    (tmp_path / "n.txt").write_text("zero\tgnu\nseven\tyak\n")
    zero_shot(templates="plain", names=str(tmp_path / "n.txt")).measure(evaluation)
    # "a photo of a CLASS." is of six words. Captions have neither "photo" nor "." nor these two.
    said = "22 of 60 words of the texts are unknown to the tokenizer and read alike: 'photo', '.'"
    assert said in caplog.text
    assert "reads classes alike, and none is told from the other: 'gnu', 'yak'" in caplog.text


def test_the_default_is_an_ensemble_of_eighty():
    assert zero_shot().settings == {"templates": "ensemble"}
    assert len(prompts.templates("ensemble")) == 80


def test_bad_input_is_a_sentence(tmp_path):
    (tmp_path / "t.txt").write_text("nothing\n")
    with pytest.raises(ConfigError, match=r"has no \{\} in line 1"):
        zero_shot(templates=str(tmp_path / "t.txt"))
    with pytest.raises(NotMeasurable, match="zero-shot classification needs a model that was"):
        zero_shot().measure(toy_models.evaluation(tmp_path / "run", "classification"))
