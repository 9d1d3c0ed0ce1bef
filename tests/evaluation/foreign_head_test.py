"""The classifier of a file gives the logits that its own library gives."""

import json

import numpy as np
import pytest

from m3i_jax.evaluation import classifiers, datasets, foreign
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation import toy_models
from tests.parity import conftest  # noqa: F401, which makes transformers' models load

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = dict(hidden_size=64, num_hidden_layers=1, num_attention_heads=1, intermediate_size=128)


def vit(folder, labels):
    config = transformers.ViTConfig(
        **SIZES, image_size=16, patch_size=8, id2label=dict(enumerate(labels)), num_labels=10
    )
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(config).eval()
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(folder)
    return model


def scored(folder):
    """What we make of it on a few scenes, and these."""
    data = datasets.of_run(toy_models.of_config("classification"))
    evaluation = Evaluation(foreign.of_file(folder), data, batch=10, quiet=True)
    return classifiers.own_head(evaluation, what="it"), evaluation


@pytest.mark.parametrize("named", [True, False])
def test_transformers_vit(tmp_path, named, caplog):
    classes = datasets.of_run(toy_models.of_config("classification")).open("train", None).classes
    labels = classes[::-1] if named else [f"n0{i}" for i in range(10)]
    model = vit(tmp_path, labels)
    head, evaluation = scored(tmp_path)
    found = head.scored(None)
    x = toy_models.images(evaluation.source("test")).transpose(0, 3, 1, 2)
    # The file says no channels, so they are ImageNet's, as `toy_models.images` has them.
    with torch.no_grad():
        expected = model(torch.tensor(x)).logits.numpy()
    expected = expected[:, ::-1] if named else expected
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-4)
    assert ("matched" in head.protocol) is not named
    assert ("are taken in the order" in caplog.text) is not named


def test_timms_vit(tmp_path):
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    how = dict(img_size=16, patch_size=8, embed_dim=64, depth=1, num_heads=1, num_classes=10)
    torch.manual_seed(0)
    model = timm.models.VisionTransformer(**how).eval()
    torch.nn.init.normal_(model.head.weight)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    head, evaluation = scored(tmp_path / "model.safetensors")
    x = toy_models.images(evaluation.source("test")).transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = model(torch.tensor(x)).numpy()
    np.testing.assert_allclose(head.scored(None).scores, expected, rtol=1e-4, atol=1e-4)


def test_a_file_without_one_or_of_other_classes_is_a_sentence(tmp_path):
    vit(tmp_path / "vit", [f"n0{i}" for i in range(10)])
    file = tmp_path / "vit" / "model.safetensors"
    from safetensors.numpy import load_file, save_file

    state = load_file(file)
    few = state | {k: state[k][:7] for k in ("classifier.weight", "classifier.bias")}
    save_file(few, file)
    with pytest.raises(NotMeasurable, match="among those that .* was trained on, which lack"):
        scored(tmp_path / "vit")
    save_file({k: x for k, x in state.items() if "classifier" not in k}, file)
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    assert config["model_type"] == "vit"
    with pytest.raises(NotMeasurable, match="has no linear layer on 64 features called"):
        scored(tmp_path / "vit")
