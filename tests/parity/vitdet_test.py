"""The ViT of ViTDet, transformers' VitDetModel: windows, padding, decomposed relative positions."""

import jax
import numpy as np
import pytest

from m3i_jax import encoders

WIDTH, DEPTH, HEADS, PATCH, WINDOW = 32, 6, 4, 4, 3


@pytest.fixture(scope="module")
def model():
    """Every parameter drawn; windows of 3 do not divide the map of 8x8 cells, nor others."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    config = transformers.VitDetConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        image_size=32,
        pretrain_image_size=32,
        patch_size=PATCH,
        window_size=WINDOW,
        window_block_indices=[0, 1, 3, 4],
        use_relative_position_embeddings=True,
    )
    model = transformers.VitDetModel(config).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.2)
    return model


@pytest.fixture(scope="module")
def params(model):
    """The same in our names."""
    theirs = {name: x.numpy() for name, x in model.state_dict().items()}
    layers = [f"encoder.layer.{i}." for i in range(DEPTH)]

    def stacked(name):
        both = {"kernel": "weight", "scale": "weight", "bias": "bias"}
        kinds = ("scale" if "norm" in name else "kernel"), "bias"
        leaves = {k: np.stack([theirs[f"{i}{name}.{both[k]}"] for i in layers]) for k in kinds}
        return {k: x.swapaxes(1, 2) if k == "kernel" else x for k, x in leaves.items()}

    blocks = {
        "norm1": stacked("norm1"),
        "norm2": stacked("norm2"),
        "attn": {"qkv": stacked("attention.qkv"), "proj": stacked("attention.proj")},
        "mlp": {"fc1": stacked("mlp.fc1"), "fc2": stacked("mlp.fc2")},
    }
    tables = {
        f"blocks_{i}": {
            "relative_position": {
                "rows": theirs[f"{layer}attention.rel_pos_h"],
                "columns": theirs[f"{layer}attention.rel_pos_w"],
            }
        }
        for i, layer in enumerate(layers)
    }
    kernel = theirs["embeddings.projection.weight"].transpose(2, 3, 1, 0).reshape(-1, WIDTH)
    return {
        "patch_embed": {"kernel": kernel, "bias": theirs["embeddings.projection.bias"]},
        "pos_embed": theirs["embeddings.position_embeddings"][:, 1:],
        "blocks": blocks,
        **tables,
    }


def encoder(**fields):
    own = dict(image=32, patch=PATCH, width=WIDTH, depth=DEPTH, heads=HEADS, positions="learned")
    own |= dict(window=WINDOW, global_blocks=(3, 6), relative_bias="decomposed")
    return encoders.create("vit_nano", class_token=False, final_norm=False, **(own | fields))


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_maps_behind_every_block_are_transformers(model, params, same_shapes, size):
    """On images of another size, too: positions bicubic, codes of offsets linearly resampled."""
    import torch

    module = encoder()
    same_shapes(module, params, module.example())
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    given = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        found = model(given, output_hidden_states=True, output_attentions=size == (32, 32))
    own = jax.jit(lambda p, x: module.apply({"params": p}, x, layers=True, attention=True))
    got = own(params, x)
    for ours, theirs in zip(got.layers, found.hidden_states[1:], strict=True):
        theirs = theirs.numpy().transpose(0, 2, 3, 1).reshape(2, -1, WIDTH)
        # float32: about a thousand roundings of 2^-24 of numbers up to 20.
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(got.layers[-1], got.tokens)
    for ours, theirs in zip(got.attention, found.attentions or (), strict=False):
        windows = 9 if ours.ndim == 5 else 1
        assert ours.shape[0] * windows == len(theirs)
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=1e-4, atol=1e-5)
