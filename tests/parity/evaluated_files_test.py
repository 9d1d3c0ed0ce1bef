"""Files that timm and transformers wrote, evaluated: features are those that they compute."""

import json

import numpy as np
import pytest

from m3i_jax.evaluation import foreign, models

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_features_are_those_of_the_library_that_wrote_the_file(tmp_path, library):
    torch = pytest.importorskip("torch")
    module = pytest.importorskip(library)
    torch.manual_seed(0)
    if library == "transformers":
        sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=16)
        config = module.ViTConfig(**sizes, intermediate_size=64, patch_size=4)
        theirs = module.ViTModel(config, add_pooling_layer=False).eval()
        theirs.save_pretrained(tmp_path)
        mean = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True}
        (tmp_path / "preprocessor_config.json").write_text(
            json.dumps(mean | {"do_rescale": True, "rescale_factor": 1 / 255})
        )
    else:
        sizes = dict(img_size=16, patch_size=4, embed_dim=32, depth=2, num_heads=4, num_classes=0)
        theirs = module.create_model("vit_base_patch16_224", **sizes).eval()
        module.models.save_for_hf(theirs, tmp_path, model_args=sizes, safe_serialization=True)
    found = foreign.of_file(tmp_path)
    shift, scale = theirs_normalisation(tmp_path, library)
    x = torch.tensor((IMAGES / 255.0 - shift) / scale, dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.no_grad():
        if library == "transformers":
            right = theirs(x).last_hidden_state.numpy()
        else:
            right = theirs.forward_features(x).numpy()
    made = models.encode(found, found.params, IMAGES)
    assert found.pool == "cls" and found.image == 16 and not found.note
    np.testing.assert_allclose(made.pooled, right[:, 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(made.tokens, right[:, 1:], rtol=1e-4, atol=1e-4)


def theirs_normalisation(folder, library):
    if library == "transformers":
        return 0.5, 0.5
    config = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    return np.array(config["mean"]), np.array(config["std"])
