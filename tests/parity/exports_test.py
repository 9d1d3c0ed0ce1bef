"""Our encoders, exported, in transformers: every weight finds its place, features are the same."""

import jax
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.interop import exporting, importing
from m3i_jax.interop.rename import nested

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = dict(name="vit_nano", image=32, patch=8, width=32, depth=2, heads=4)
SWIN = dict(image=64, width=16, depths=(2, 2), heads=(2, 4), window=4)
BEIT = dict(qkv_bias="qv", layer_scale=0.1)
SHARED = dict(relative_bias="shared", positions="none")
CLIP = dict(patch_bias=False, pre_norm=True, eps=1e-5, activation="quick_gelu")
WHOLE = dict(add_pooling_layer=False)


def normed(model, x):
    """CLIP's tokens behind the norm that theirs gives to the class token only."""
    tower = getattr(model, "vision_model", model)
    return tower.post_layernorm(model(x).last_hidden_state)


CASES = {
    "vit": ("ViTModel", SIZES | dict(positions="learned"), WHOLE, None),
    "vit, sines": ("ViTModel", SIZES, WHOLE, None),
    "dinov2": ("Dinov2Model", SIZES | dict(positions="learned", layer_scale=0.1), {}, None),
    "beit": ("BeitModel", SIZES | BEIT | dict(relative_bias="layer"), WHOLE, None),
    "beit, shared": ("BeitModel", SIZES | BEIT | SHARED, WHOLE, None),
    "clip": ("CLIPVisionModel", SIZES | CLIP | dict(positions="learned"), {}, normed),
    "swin_v2": ("Swinv2Model", dict(name="swin_v2_t", hide="", **SWIN), WHOLE, None),
    "resnet50": ("ResNetModel", dict(name="resnet50", image=64, depths=(1, 2), width=8), {}, None),
    "resnet18": ("ResNetModel", dict(name="resnet18", image=64, depths=(2, 1), width=8), {}, None),
}  # fmt: skip


def drawn(block):
    """An encoder and random parameters; variances and scales are positive."""
    kwargs = dict(block)
    module = encoders.create(kwargs.pop("name"), **kwargs)
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    rng = np.random.default_rng(0)

    def leaf(path, x):
        name, noise = jax.tree_util.keystr(path), rng.normal(size=x.shape)
        near_one = name.endswith(("['scale']", "['var']"))
        return np.float32(np.exp(0.3 * noise) if near_one else 0.2 * noise)

    return module, jax.tree_util.tree_map_with_path(leaf, shapes)


@pytest.mark.parametrize("case", CASES)
def test_transformers_loads_it_strictly_and_computes_the_same(case, tmp_path):
    kind, block, options, call = CASES[case]
    module, params = drawn(block)
    exporting.save(tmp_path, params, {"encoder": block}, to="huggingface")
    model, said = getattr(transformers, kind).from_pretrained(
        tmp_path, output_loading_info=True, **options
    )
    assert not any(said[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    x = np.random.default_rng(1).normal(size=(2, *module.size, 3)).astype(np.float32)
    with torch.no_grad():
        x_torch = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        want = (call or (lambda m, x: m(x).last_hidden_state))(model.eval(), x_torch).numpy()
    got = jax.jit(lambda x: module.apply({"params": params}, x))(x)
    if want.ndim == 4:
        want = want.transpose(0, 2, 3, 1).reshape(*got.tokens.shape)
    first = want.shape[1] - got.tokens.shape[1]
    np.testing.assert_allclose(got.tokens, want[:, first:], rtol=1e-4, atol=1e-4)
    if first:
        np.testing.assert_allclose(got.pooled, want[:, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_what_transformers_saves_again_is_what_we_gave(case, tmp_path):
    kind, block, options, _ = CASES[case]
    _, params = drawn(block)
    exporting.save(tmp_path / "ours", params, {"encoder": block}, to="huggingface")
    model = getattr(transformers, kind).from_pretrained(tmp_path / "ours", **options)
    model.save_pretrained(tmp_path / "theirs")
    ours, theirs = (importing.read(tmp_path / name).params for name in ("ours", "theirs"))
    assert ours.keys() == theirs.keys()
    for path, x in ours.items():
        np.testing.assert_array_equal(x, theirs[path], err_msg=path)
    assert nested(ours)["encoders"]["image"].keys() >= params.keys() - {"mask_token"}
