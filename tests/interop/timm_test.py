"""To timm's names and back, bit for bit; and timm's layout in an independent forward pass."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.interop import timm

SIZES = dict(image=(8, 12), patch=4, width=16, depth=3, heads=2)


def ready(key, **overrides):
    module = encoders.create("vit_nano", **(SIZES | overrides))
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    draw = np.random.default_rng(0).normal
    return module, jax.tree.map(lambda s: jnp.float32(draw(size=s.shape)), shapes)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize(
    "options",
    [
        dict(positions="learned", layer_scale=0.1),
        dict(positions="learned", class_token=False, final_norm=False, qkv_bias=False),
        dict(positions="sincos"),
    ],
)
def test_round_trip_is_bitwise(key, options):
    module, params = ready(key, **options)
    learned = module.positions == "learned"
    state = timm.export(params, positions=None if learned else np.ones((7, 16)))
    assert_same(timm.restore(state, learned_positions=learned), params)
    assert state["pos_embed"].shape == (1, 6 + module.class_token, 16)


def test_names_and_shapes_of_a_vit_b16(key):
    module = encoders.create("vit_b16", positions="learned", depth=1)
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    state = timm.export(jax.tree.map(lambda s: np.zeros(s.shape, np.float32), shapes))
    # As in the state dict of timm's vit_base_patch16_224.
    assert {k: v.shape for k, v in state.items()} == {
        "cls_token": (1, 1, 768),
        "pos_embed": (1, 197, 768),
        "patch_embed.proj.weight": (768, 3, 16, 16),
        "patch_embed.proj.bias": (768,),
        "blocks.0.norm1.weight": (768,),
        "blocks.0.norm1.bias": (768,),
        "blocks.0.attn.qkv.weight": (2304, 768),
        "blocks.0.attn.qkv.bias": (2304,),
        "blocks.0.attn.proj.weight": (768, 768),
        "blocks.0.attn.proj.bias": (768,),
        "blocks.0.norm2.weight": (768,),
        "blocks.0.norm2.bias": (768,),
        "blocks.0.mlp.fc1.weight": (3072, 768),
        "blocks.0.mlp.fc1.bias": (3072,),
        "blocks.0.mlp.fc2.weight": (768, 3072),
        "blocks.0.mlp.fc2.bias": (768,),
        "norm.weight": (768,),
        "norm.bias": (768,),
    }


def test_patch_embedding_is_the_convolution(key):
    module, params = ready(key)
    images = jax.random.normal(key, (2, 8, 12, 3))
    weight = timm.export(params)["patch_embed.proj.weight"]
    want = jax.lax.conv_general_dilated(
        images, weight, (4, 4), "VALID", dimension_numbers=("NHWC", "OIHW", "NHWC")
    )
    got = timm._to_convolution(np.asarray(params["patch_embed"]["kernel"]))
    patches = np.asarray(images).reshape(2, 2, 4, 3, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    mine = patches.reshape(2, 2, 3, 48) @ np.asarray(params["patch_embed"]["kernel"])
    np.testing.assert_array_equal(got, weight)
    np.testing.assert_allclose(mine, want, rtol=1e-4, atol=1e-4)


def test_every_block_is_its_slice(key):
    _, params = ready(key)
    state = timm.export(params)
    for i in range(3):
        kernel = params["blocks"]["mlp"]["fc1"]["kernel"][i]
        np.testing.assert_array_equal(state[f"blocks.{i}.mlp.fc1.weight"], kernel.T)


def test_save_can_be_read_again(key, tmp_path):
    module, params = ready(key, hide="mask")
    config = {"encoder": {"name": "vit_nano", "hide": "mask", **SIZES}, "step": 7}
    timm.save(str(tmp_path / "export"), params, config)
    state = load_file(tmp_path / "export" / "model.safetensors")
    described = json.loads((tmp_path / "export" / "config.json").read_text())
    again = described["m3i_jax"]["encoder"]
    twin = encoders.create(again.pop("name"), **again).clone(hide="drop")
    images = jnp.ones((1, 8, 12, 3))
    restored = timm.restore(state, learned_positions=False)
    want = module.apply({"params": params}, images).tokens
    np.testing.assert_array_equal(twin.apply({"params": restored}, images).tokens, want)
    assert described["model_args"]["img_size"] == [8, 12]
    assert described["m3i_jax"]["step"] == 7
    assert state["pos_embed"].shape == (1, 7, 16)


def test_what_does_not_fit_is_listed(key):
    _, params = ready(key)
    extra = params | {"a": {"kernel": jnp.ones(2)}, "b": jnp.ones(3)}
    with pytest.raises(ValueError, match="without a name in timm: a/kernel, b"):
        timm.export(extra)
    state = timm.export(params) | {"head.weight": np.ones(2), "fc_norm.bias": np.ones(2)}
    with pytest.raises(ValueError, match="without a place here: fc_norm.bias, head.weight"):
        timm.restore(state)
    state = timm.export(params)
    del state["blocks.2.norm1.bias"]
    with pytest.raises(ValueError, match=r"numbers of blocks: \[2, 3\]"):
        timm.restore(state)
    with pytest.raises(ConfigError, match="is no ViT"):
        timm.save("nowhere", params, {"encoder": {"name": "text_nano"}})
