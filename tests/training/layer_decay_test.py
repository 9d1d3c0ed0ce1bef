"""Which layer each parameter belongs to, and the factors of layer-wise rate decay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders, trees
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


def test_codes_of_offsets_are_in_the_layer_of_their_block():
    """ViTDet's, whose number differs between blocks, are no stacked leaves."""
    params = jax.eval_shape(lambda: vit(4))
    codes = {"relative_position": {"rows": jnp.ones((5, 2)), "columns": jnp.ones((5, 2))}}
    params["encoders"]["image"] |= {f"blocks_{i}": codes for i in range(4)}
    scales = layer_decay.layer_scales(params, 0.5)
    table = scales["encoders/image/blocks/norm1/scale"]
    for i in range(4):
        assert (
            scales[f"encoders/image/blocks_{i}/relative_position/rows"]
            == table[i]
            == 0.5 ** (4 - i)
        )


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


DOWN = lambda first, last: list(range(first, last - 1, -1))  # noqa: E731
PAIRS = [10, 10, 9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2]
# Of each leaf, by how it starts: to which power the decay is taken, for each block of a stack. As
# the published code numbers them: microsoft/unilm beit/optim_factory.py; microsoft/SimMIM
# optimizer.py; DingXiaoH/RepLKNet-pytorch optim_factory.py; OpenGVLab/InternImage
# classification/models/intern_image.py.
POWERS = {
    "vit_b16": {
        "patch_embed": 13, "pos_embed": 13, "cls_token": 13, "mask_token": 13,
        "blocks": DOWN(12, 1), "norm": 0, "relative_position": 0,
    },
    "swin_v2_b": {
        "mask_token": 25, "patch_embed": 25,
        "stages_0/blocks": [24, 23], "stages_0/downsample": 23,
        "stages_1/blocks": [22, 21], "stages_1/downsample": 21,
        "stages_2/blocks": DOWN(20, 3), "stages_2/downsample": 3,
        "stages_3/blocks": [2, 1], "norm": 0,
    },
    "replknet_31b": {
        "patch_embed": 13,
        "stages_0/blocks": [12, 12], "stages_0/downsample": 12,
        "stages_1/blocks": [11, 11], "stages_1/downsample": 11,
        "stages_2/blocks": PAIRS, "stages_2/downsample": 2,
        "stages_3/blocks": [1, 1], "norm": 0,
    },
    "internimage_t": {
        "patch_embed": 29,
        "stages_0/blocks": DOWN(29, 26), "stages_0/downsample": 25, "stages_0/norm": 25,
        "stages_1/blocks": DOWN(25, 22), "stages_1/downsample": 21, "stages_1/norm": 21,
        "stages_2/blocks": DOWN(21, 4), "stages_2/downsample": 3, "stages_2/norm": 3,
        "stages_3/blocks": DOWN(3, 0), "stages_3/norm": 0,
    },
    "internimage_h": {
        "patch_embed": 49,
        "stages_0/blocks": DOWN(49, 44), "stages_0/downsample": 43, "stages_0/norm": 43,
        "stages_1/blocks": DOWN(43, 38), "stages_1/downsample": 37, "stages_1/norm": 37,
        "stages_2/blocks": DOWN(37, 6), "stages_2/downsample": 5, "stages_2/norm": 5,
        "stages_2/post_norms": 0, "stages_3/blocks": DOWN(5, 0), "stages_3/norm": 0,
    },
}  # fmt: skip
VITS = (dict(positions="learned"), dict(positions="none", relative_bias="shared"),
        dict(positions="none", relative_bias="layer", layer_scale=0.1, hide="mask"))  # fmt: skip


@pytest.mark.parametrize(
    "name, fields",
    [("vit_b16", fields) for fields in VITS] + [(name, {}) for name in POWERS if "vit" not in name],
)
def test_every_leaf_of_a_published_encoder_has_its_published_rate(name, fields):
    module, decay = encoders.create(name, **fields), 0.8
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), module.example())["params"])
    params = {"encoders": {"image": shapes, "category": {"kernel": jnp.ones((5, 4))}}}
    scales, table = layer_decay.layer_scales(params, decay), POWERS[name]
    assert scales.pop("encoders/category/kernel") == 1.0
    assert scales.keys() == {f"encoders/image/{path}" for path, _ in trees.named_leaves(shapes)}
    for path, leaf in trees.named_leaves(shapes):
        (power,) = (table[start] for start in table if f"{path}/".startswith(f"{start}/"))
        found = scales[f"encoders/image/{path}"]
        np.testing.assert_allclose(found, decay ** np.asarray(power), rtol=1e-12, err_msg=path)
        assert isinstance(power, int) or leaf.shape[0] == len(power), path


def test_the_blocks_of_a_resnet_are_counted_over_its_stages():
    """Nobody has published how; as BEiT counts, whose numbers are those of timm's blocks."""
    module = encoders.create("resnet50")
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), module.example())["params"])
    scales = layer_decay.layer_scales({"encoders": {"image": shapes}}, 0.5)
    block = lambda stage, number: scales[  # noqa: E731
        f"encoders/image/stages_{stage}/blocks_{number}/conv1/kernel"
    ]
    assert scales["encoders/image/patch_embed/conv/kernel"] == 0.5**17
    assert [block(0, 0), block(0, 2), block(1, 0), block(3, 2)] == [0.5**16, 0.5**14, 0.5**13, 0.5]
    assert scales["encoders/image/stages_3/blocks_0/downsample/conv/kernel"] == 0.5**3


def test_names_of_a_real_network_all_have_a_layer():
    """The patterns know every parameter that the library's ViT creates."""
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
