"""Which layer each parameter belongs to, and the factors of layer-wise rate decay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.training import layer_decay


def vit(depth=3, width=4):
    """Leaves of a ViT by their real names, tiny."""
    leaf = lambda *s: jnp.ones(s)  # noqa: E731
    linear = lambda i, o: {"kernel": leaf(depth, i, o), "bias": leaf(depth, o)}  # noqa: E731
    return {
        "encoders": {
            "image": {
                "cls_token": leaf(1, 1, width),
                "mask_token": leaf(1, 1, width),
                "pos_embed": leaf(1, 5, width),
                "patch_embed": {"kernel": leaf(12, width), "bias": leaf(width)},
                "blocks": {
                    "norm1": {"scale": leaf(depth, width), "bias": leaf(depth, width)},
                    "attn": {"qkv": linear(width, 12), "proj": linear(width, width)},
                },
                "norm": {"scale": leaf(width), "bias": leaf(width)},
            }
        },
        "decoders": {"label": {"head": {"kernel": leaf(width, 7), "bias": leaf(7)}}},
    }


@pytest.mark.parametrize("depth", [12, 24])
def test_layer_decay_table(depth):
    params = jax.eval_shape(lambda: vit(depth))
    scales = layer_decay.layer_scales(params, 0.65)
    assert set(scales) == {path for path, _ in trees.named_leaves(params)}
    first = 0.65 ** (depth + 1)
    image = "encoders/image/"
    for name in ("cls_token", "mask_token", "pos_embed", "patch_embed/kernel", "patch_embed/bias"):
        np.testing.assert_allclose(scales[image + name], first, rtol=1e-6)
    for path in scales:
        if "/blocks/" in path:
            table = 0.65 ** (depth - np.arange(depth))  # block b: d^(L + 1 - (b + 1))
            np.testing.assert_allclose(scales[path], table, rtol=1e-6)
    for path in (image + "norm/scale", image + "norm/bias", "decoders/label/head/kernel"):
        assert scales[path] == 1.0
    if depth == 12:  # ViT-B of the recipe
        np.testing.assert_allclose(first, 0.0037, rtol=1e-2)
        np.testing.assert_allclose(scales[image + "blocks/norm1/scale"][-1], 0.65, rtol=1e-6)


def test_layer_decay_over_stages():
    """Swin: blocks are counted over all stages; merging belongs to the last block of its stage."""
    kernel = lambda *depth: {"kernel": jnp.ones((*depth, 3, 3))}  # noqa: E731
    image = {
        "patch_embed": kernel(),
        "stages_0": {"blocks": {"w": kernel(2)}, "downsample": kernel()},
        "stages_1": {"blocks": {"w": kernel(3)}},
        "norm": {"scale": jnp.ones(3)},
    }
    params = {"encoders": {"image": image}}
    scales = layer_decay.layer_scales(params, 0.5)
    image = "encoders/image/"
    assert scales[image + "patch_embed/kernel"] == 0.5**6
    np.testing.assert_array_equal(scales[image + "stages_0/blocks/w/kernel"], [0.5**5, 0.5**4])
    np.testing.assert_array_equal(scales[image + "stages_0/downsample/kernel"], 0.5**4)
    np.testing.assert_array_equal(scales[image + "stages_1/blocks/w/kernel"], [0.5**3, 0.5**2, 0.5])
    assert scales[image + "norm/scale"] == 1.0


def test_names_of_a_real_network_all_have_a_layer():
    """The patterns know every parameter that the library's ViT creates."""
    encoders = pytest.importorskip("m3i_jax.encoders")
    for positions, hide in (("learned", "mask"), ("sincos", "drop")):
        module = encoders.create("vit_nano", positions=positions, hide=hide, layer_scale=0.1)
        shapes = jax.eval_shape(lambda m=module: m.init(jax.random.key(0), m.example())["params"])
        scales = layer_decay.layer_scales({"encoders": {"image": shapes}}, 0.75)
        assert {v for v in scales.values() if isinstance(v, float)} == {1.0, 0.75**5}


def test_the_table_of_categories_belongs_to_the_head():
    """It is the matrix of the classifier behind the decoder."""
    params = vit(2)
    params["encoders"]["category"] = {"kernel": jnp.ones((5, 4))}
    scales = layer_decay.layer_scales(params, 0.8)
    assert scales["encoders/category/kernel"] == 1.0
    np.testing.assert_allclose(scales["encoders/image/cls_token"], 0.8**3)


def test_unknown_names_are_refused():
    params = vit()
    params["encoders"]["image"]["adapter"] = {"kernel": jnp.ones((2, 2))}
    with pytest.raises(ConfigError, match="which layer 'encoders/image/adapter/kernel' belongs to"):
        layer_decay.layer_scales(params, 0.65)
    with pytest.raises(ConfigError, match=r"a number in \(0, 1\]"):
        layer_decay.layer_scales(vit(), 1.5)
