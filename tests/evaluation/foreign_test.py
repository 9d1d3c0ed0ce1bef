"""Files of others give the features that their own libraries compute, with nothing typed twice."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import foreign, models
from m3i_jax.interop import exporting

BLOCK = dict(name="vit_nano", image=16, patch=4, width=64, depth=2, heads=1, positions="learned")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)


def features(model, images=IMAGES):
    return models.encode(model, model.params, images)


@pytest.fixture(scope="module")
def ours():
    return models.fresh(BLOCK)


def saved(ours, folder, to):
    exporting.save(folder, ours.params["encoders"]["image"], {"encoder": BLOCK}, to=to)
    return folder


@pytest.mark.parametrize("to", ["timm", "huggingface", "m3i_jax"])
def test_an_export_is_the_same_encoder(ours, tmp_path, to):
    found = foreign.of_file(saved(ours, tmp_path, to))
    assert (found.branch, found.image, found.pool) == ("file", 16, "mean")
    np.testing.assert_allclose(features(found).tokens, features(ours).tokens, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("to", ["timm", "huggingface"])
def test_a_file_of_others_is_read_by_what_lies_beside_it(ours, tmp_path, to):
    """Without our own description: its config.json is as the library writes it."""
    config = json.loads((saved(ours, tmp_path, to) / "config.json").read_text())
    del config["m3i_jax"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = foreign.of_file(tmp_path / "model.safetensors")
    assert (found.image, found.pool, found.note) == (16, "cls", "")
    np.testing.assert_allclose(features(found).pooled, features(ours).pooled, rtol=1e-5, atol=1e-5)


def test_a_bare_file_shows_its_sizes_and_says_what_is_a_guess(ours, tmp_path):
    state, _ = exporting.export(ours.params["encoders"]["image"], None, to="timm")
    save_file(state, tmp_path / "bare.safetensors")
    found = foreign.of_file(tmp_path / "bare.safetensors")
    assert "heads=1" in found.note and "a guess" in found.note and found.image == 16
    np.testing.assert_allclose(features(found).pooled, features(ours).pooled, rtol=1e-5, atol=1e-5)
    wider = foreign.of_file(tmp_path / "bare.safetensors", heads=2)
    assert wider.block["heads"] == 2


def test_positions_are_resampled_for_other_images(ours, tmp_path):
    found = foreign.of_file(saved(ours, tmp_path, "timm"), image=24)
    large = np.random.default_rng(1).integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
    # The encoder itself resamples its table for a grid that is not its own.
    right = features(ours, large).tokens
    assert found.image == 24 and found.params["encoders"]["image"]["pos_embed"].shape[1] == 37
    np.testing.assert_allclose(features(found, large).tokens, right, rtol=1e-4, atol=1e-4)


def test_a_torch_file_is_read_weights_only(ours, tmp_path):
    torch = pytest.importorskip("torch")
    state, _ = exporting.export(ours.params["encoders"]["image"], None, to="timm")
    tensors = {name: torch.tensor(np.array(x)) for name, x in state.items()}
    torch.save({"teacher": tensors, "model": {"x": tensors["cls_token"]}}, tmp_path / "vit.pth")
    found = foreign.of_file(tmp_path / "vit.pth", part="teacher")
    np.testing.assert_allclose(features(found).pooled, features(ours).pooled, rtol=1e-5, atol=1e-5)


def test_what_nobody_says_is_asked_for(tmp_path):
    save_file({"stem.0.weight": np.ones((2, 2), np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match="no layout knows all 1 keys"):
        foreign.of_file(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"junk")
    with pytest.raises(ConfigError, match="is not a safetensors file"):
        foreign.of_file(tmp_path / "b.safetensors")
