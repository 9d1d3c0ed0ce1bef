"""Tiny encoders with random parameters, and what every layout is for."""

import jax
import numpy as np
import pytest

from m3i_jax import encoders, trees

SIZES = dict(image=16, patch=4, width=16, depth=2, heads=2)
SWIN = dict(name="swin_v2_t", image=32, width=8, depths=(1, 2), heads=(1, 2), window=4)
DALLE = dict(name="dalle_encoder", image=32, width=4, vocabulary=12)
RESNET = dict(name="resnet50", image=32, depths=(1, 2), width=4)
BEIT = dict(positions="none", qkv_bias="qv", layer_scale=0.1)
ROPE = dict(positions="rope", qkv_bias="qv", layer_scale=0.1, registers=2, hide="mask")
EVA02 = dict(positions="learned_rope", rope="eva02", qkv_bias="qv", gated=True, inner_norm="both")
PLAIN = dict(norm="rms", block_bias=False, qkv_bias=False, class_token=False)
AIMV2 = PLAIN | dict(positions="learned", patch_norm=True, gated=True)
CLIP = dict(positions="learned", patch_bias=False, pre_norm=True)
SIGLIP = dict(positions="learned", class_token=False)
# Layout -> an encoder that needs all of its rules for encoders, or nearly.
ENCODERS = {
    "m3i_jax": dict(hide="mask", relative_bias="layer", layer_scale=0.1),
    "timm": dict(positions="learned", layer_scale=0.1, pre_norm=True, registers=2),
    "mae": dict(positions="learned"),
    "siamese_im": dict(positions="learned", final_norm=False),
    "dinov2": dict(positions="learned", layer_scale=0.1, hide="mask", registers=2),
    "ibot": dict(positions="learned", layer_scale=0.1, hide="mask"),
    "ijepa": dict(positions="learned", class_token=False),
    "beit": BEIT | dict(relative_bias="shared", hide="mask"),
    "beit_v2": BEIT | dict(relative_bias="layer", final_norm=False, hide="mask"),
    "simmim": BEIT | dict(relative_bias="shared", hide="mask"),
    "clip": CLIP,
    "clip_huggingface": CLIP,
    "clip_image": CLIP,
    "clip_image_huggingface": CLIP,
    "siglip_huggingface": SIGLIP,
    "siglip_image_huggingface": SIGLIP,
    "siglip_open_clip": SIGLIP,
    "siglip_timm": SIGLIP,
    "huggingface": dict(positions="learned", hide="mask"),
    "mae_huggingface": dict(positions="learned"),
    "dinov2_huggingface": dict(positions="learned", layer_scale=0.1, hide="mask"),
    "dinov3_huggingface": ROPE,
    "dinov3_gated_huggingface": ROPE | dict(gated=True, activation="silu"),
    "dinov3": ROPE,
    "dinov3_timm": ROPE | dict(gated=True, hide="drop", qk_norm="layer"),
    "eva02": EVA02 | dict(hide="mask"),
    "eva02_timm": EVA02 | dict(qk_norm="layer"),
    "capi": PLAIN | dict(positions="rope", rope="capi", registers=4),
    "aimv2": AIMV2,
    "aimv2_timm": AIMV2,
    "aimv2_huggingface": AIMV2,
    "beit_huggingface": BEIT | dict(relative_bias="layer", hide="mask"),
    "swin_v2_timm": SWIN,
    "swin_v2": SWIN,
    "simmim_swin_v2": SWIN | dict(hide="mask"),
    "swin_v2_huggingface": SWIN | dict(hide="mask"),
    "resnet": RESNET,
    "resnet_huggingface": RESNET,
    "replknet": dict(name="replknet_nano"),
    "replknet_merged": dict(name="replknet_nano", merged=True),
    "internimage": dict(name="internimage_t", image=64, width=8, groups=2, depths=(1, 1, 1, 1)),
    "dalle_encoder": DALLE,
    "dalle_encoder_huggingface": DALLE,
}


def ready(name="vit_nano", **fields):
    """(module, {"encoders/image/...": array}) of an encoder, every parameter drawn."""
    sizes = SIZES if name == "vit_nano" else {}
    module = encoders.create(name, **(sizes | fields))
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    return module, fill("encoders/image/", shapes)


def fill(module, shapes):
    """A random array for every leaf of a tree of shapes, by path."""
    rng = np.random.default_rng(0)
    return {
        module + path: rng.normal(size=x.shape).astype(np.float32)
        for path, x in trees.named_leaves(shapes)
    }


@pytest.fixture
def drawn():
    return ready


@pytest.fixture
def filled():
    return fill


@pytest.fixture
def example():
    """(layout name) -> the encoder of `ENCODERS` and its parameters."""

    def made(name):
        module, params = ready(**ENCODERS[name])
        last = "encoders/image/norm/scale"  # CAPI's has none
        return module, params | ({last: np.ones_like(params[last])} if name == "capi" else {})

    return made


@pytest.fixture
def same():
    """Asserts that two dicts of arrays are the same, bit for bit."""

    def check(a, b):
        assert a.keys() == b.keys()
        for path, x in a.items():
            np.testing.assert_array_equal(x, b[path], err_msg=path, strict=True)

    return check
