"""The keys of SigLIP as transformers and open_clip write them; its numbers are in tests/parity."""

import jax
import numpy as np
import pytest

from m3i_jax import networks
from m3i_jax.interop import importing, layouts, siglip
from m3i_jax.interop.rename import to_ours, to_theirs

IMAGE = dict(name="vit_nano", image=16, patch=4, width=16, depth=1, heads=2,
             positions="learned", class_token=False)  # fmt: skip
TEXT = dict(name="siglip_text", width=16, depth=1, heads=2, vocabulary=9, length=5, projection=16)
HEAD = {**siglip.HUGGING_FACE.head, "heads": 2}
OF_HEAD = {
    "probe": (1, 1, 16), "attention.in_proj_weight": (48, 16), "attention.in_proj_bias": (48,),
    "attention.out_proj.weight": (16, 16), "attention.out_proj.bias": (16,),
    "layernorm.weight": (16,), "layernorm.bias": (16,), "mlp.fc1.weight": (64, 16),
    "mlp.fc1.bias": (64,), "mlp.fc2.weight": (16, 64), "mlp.fc2.bias": (16,),
}  # fmt: skip
STEM = "vision_model.embeddings.patch_embedding.weight"


@pytest.fixture
def params(filled):
    net = networks.build(
        IMAGE, {"text": TEXT}, {"text": HEAD}, image=16, dtype="float32", out={"text": 16}
    )
    return filled("", jax.eval_shape(net.init, jax.random.key(0)))


def test_both_towers_and_the_head_there_and_back(params, same):
    state, unknown = to_theirs(params, siglip.HUGGING_FACE)
    assert not unknown and state["text_model.head.bias"].shape == (16,)
    assert state["logit_scale"].shape == state["logit_bias"].shape == (1,)
    for name, shape in OF_HEAD.items():
        assert state["vision_model.head." + name].shape == shape
    layout, places = layouts.recognise(state, what="it")
    assert layout is siglip.HUGGING_FACE and not places.dropped
    found = to_ours(state, places)
    stem = "encoders/image/patch_embed/kernel"
    same(found | {stem: found[stem].reshape(48, 16)}, params)


def test_the_image_tower_alone_leaves_its_head_out(params):
    state, _ = to_theirs(params, siglip.HUGGING_FACE)
    alone = {key: x for key, x in state.items() if key.startswith("vision_model.")}
    for tower in (alone, {key.removeprefix("vision_model."): x for key, x in alone.items()}):
        layout, places = layouts.recognise(tower, what="it")
        assert len(places.leaves) + len(places.dropped) > 20
        assert not any(path.startswith("encoders/text") for path in places.leaves)
    assert layout is siglip.HUGGING_FACE_IMAGE and len(places.dropped) == len(OF_HEAD)


def test_open_clips_names_there_and_back_and_its_trunk_alone(params, same):
    state, unknown = to_theirs(params, siglip.OPEN_CLIP)
    pool = "visual.trunk.attn_pool."
    shapes = {"latent": (1, 1, 16), "q.weight": (16, 16), "q.bias": (16,), "kv.weight": (32, 16),
              "kv.bias": (32,), "proj.weight": (16, 16), "norm.bias": (16,)}  # fmt: skip
    assert not unknown and {n: state[pool + n].shape for n in shapes} == shapes
    assert state["text.text_projection.bias"].shape == (16,) and state["logit_scale"].shape == ()
    layout, places = layouts.recognise(state, what="it")
    assert layout is siglip.OPEN_CLIP and not places.dropped
    found = to_ours(state, places)
    stem = "encoders/image/patch_embed/kernel"
    same(found | {stem: found[stem].reshape(48, 16)}, params)
    trunk = {k.removeprefix("visual.trunk."): x for k, x in state.items() if "visual." in k}
    layout, places = layouts.recognise(trunk, what="it")
    assert layout is siglip.TIMM and len(places.dropped) == 13
    assert all(path.startswith("encoders/image/") for path in places.leaves)


def test_naflex_has_a_linear_stem_of_pixels_in_rows(params):
    state, _ = to_theirs(params, siglip.HUGGING_FACE)
    kernel = params["encoders/image/patch_embed/kernel"]
    state[STEM] = np.reshape(kernel, (48, 16)).T
    found = importing.renamed(state, what="it").params["encoders/image/patch_embed/kernel"]
    np.testing.assert_array_equal(found.reshape(48, 16), np.reshape(kernel, (48, 16)))
