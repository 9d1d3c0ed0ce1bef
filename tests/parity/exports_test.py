"""Our encoders, exported, as others build them from our files alone: same images, same features.

The other library gets a folder and nothing else: it builds the model from config.json, finds every
weight and draws none, and makes its input of a photograph by the processor that the folder states.
"""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from m3i_jax import encoders, normalize
from m3i_jax.build import ConfigError
from m3i_jax.data.views.crops import center_crop
from m3i_jax.interop import exporting, files, importing
from m3i_jax.interop.rename import nested

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

VIT = dict(name="vit_nano", image=32, patch=8, width=32, depth=2, heads=4, positions="learned")
ROPE = VIT | dict(positions="rope", qkv_bias="qv", eps=1e-5)
SWIN = dict(name="swin_v2_t", image=64, width=16, depths=(2, 2), heads=(2, 4), window=4, hide="")
BEIT = VIT | dict(qkv_bias="qv", layer_scale=0.1, positions="none")
CLIP = VIT | dict(patch_bias=False, pre_norm=True, eps=1e-5, activation="quick_gelu")
CLIP |= dict(normalization="clip")
ODD = dict(normalization="inception", qkv_bias=False, mlp_ratio=2.7)
RESNET = dict(name="resnet50", image=64, depths=(1, 2))
BASIC = dict(name="resnet18", image=64, depths=(2, 1))
FOUR = dict(image=64, depths=(1, 1, 1, 1))
OWN = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))

TRANSFORMERS = {
    "vit": VIT,
    "vit, sines": VIT | dict(positions="sincos", hide="mask"),
    "vit, not square": VIT | dict(image=(32, 64)),
    "vit, relu": VIT | ODD | dict(activation="relu", eps=1e-3),
    "vit, tanh": VIT | dict(activation="gelu_tanh", normalization=OWN, positions="tuned"),
    "dinov2": VIT | ODD | dict(mlp_ratio=2.0, layer_scale=0.1, hide="mask", activation="silu"),
    "registers": VIT | dict(layer_scale=0.1, registers=3, hide="mask"),
    "registers, no scale": VIT | dict(registers=2, positions="sincos"),
    "swiglu": VIT | dict(gated=True, activation="silu", mlp_ratio=2.75, registers=1),
    "dinov3": ROPE | dict(layer_scale=0.1, registers=2, hide="mask"),
    "dinov3, 7B": ROPE | dict(gated=True, qkv_bias=False, registers=2, activation="silu"),
    "dinov3, gated": ROPE | dict(gated=True, rope_base=20.0, image=(32, 64), activation="silu"),
    "beit": BEIT | dict(relative_bias="layer", positions="learned", hide="mask"),
    "beit, shared": BEIT | dict(relative_bias="shared", normalization="inception"),
    "beit, mean": BEIT | dict(relative_bias="shared", final_norm=False, layer_scale=None),
    "clip": CLIP,
    "clip, exact": CLIP | dict(activation="gelu", mlp_ratio=2.7),
    "swin_v2": SWIN | dict(normalization="inception", pretrained_window=(6, 0)),
    "swin_v2, not square": SWIN | dict(image=(64, 128)),
    "resnet50": RESNET | dict(width=8, normalization="inception"),
    "resnet18": BASIC | dict(width=8),
}
TIMM = {
    "vit": VIT,
    "vit, sines": VIT | dict(positions="sincos", hide="mask"),
    "vit, not square": VIT | dict(image=(32, 64), normalization=OWN),
    "vit, relu": VIT | ODD | dict(activation="relu", layer_scale=0.1),
    "vit, tanh": VIT | dict(activation="gelu_tanh", eps=1e-5, final_norm=False),
    "vit, patches alone": VIT | dict(class_token=False, positions="none", activation="silu"),
    "registers": VIT | dict(registers=3, layer_scale=0.1),
    "swiglu": VIT | dict(gated=True, activation="silu", mlp_ratio=2.7, registers=2),
    "clip": CLIP,
    "beit": BEIT | dict(relative_bias="layer", positions="learned", hide="mask"),
    "beit, shared": BEIT | dict(relative_bias="shared", layer_scale=None, mlp_ratio=2.7),
    "swin_v2": SWIN | dict(normalization="inception", pretrained_window=(6, 0)),
    "swin_v2, windows": SWIN | dict(window=(8, 4), image=(64, 32)),
    "resnet50": RESNET | FOUR | dict(normalization="inception"),
    "resnet18": BASIC | FOUR,
}


def drawn(block):
    """An encoder and random parameters; variances and scales are positive."""
    kwargs = dict(block)
    module = encoders.create(kwargs.pop("name"), **kwargs)
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    rng = np.random.default_rng(0)

    def leaf(path, x):
        name, noise = jax.tree_util.keystr(path), rng.normal(size=x.shape)
        near_one = name.endswith(("['scale']", "['var']"))
        scale = 0.2 if len(x.shape) < 4 else 0.05  # convolutions sum over many
        return np.float32(np.exp(0.3 * noise) if near_one else scale * noise)

    return module, jax.tree_util.tree_map_with_path(leaf, shapes)


def photograph():
    """(45, 60, 3) uint8; between two middles of it everybody here takes the first."""
    return np.random.default_rng(1).integers(0, 256, (45, 60, 3), np.uint8)


def ours(module, params):
    """Our code of what evaluation makes of the photograph; of noise, where images are no squares.

    Returns:
      The pixels (H, W, 3) in [0, 1], tokens (n, D) and the pooled code or None.
    """
    (height, width), pixels = module.size, None
    if height == width:
        pixels = center_crop(photograph(), size=height)[0] / np.float32(255)
    else:
        pixels = np.random.default_rng(2).uniform(size=(height, width, 3)).astype(np.float32)
    images = normalize.channels(pixels[None])
    code = jax.jit(lambda x: module.apply({"params": params}, x))(images)
    return pixels, code.tokens[0], None if code.pooled is None else code.pooled[0]


def close(got, want):
    """To 1e-5 of the largest number, which is float32 through a few layers."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def rows(features, count):
    """(n, D) of what a model returns: prefix tokens first, or a map with channels first."""
    x = features[0].detach().numpy()
    if x.ndim == 3:
        x = x.reshape(x.shape[0], -1).T
    return x[: len(x) - count], x[len(x) - count :]


@pytest.mark.parametrize("case", TRANSFORMERS)
def test_transformers_builds_it_and_computes_the_same(case, tmp_path):
    module, params = drawn(TRANSFORMERS[case])
    exporting.save(tmp_path, params, {"encoder": TRANSFORMERS[case]}, to="huggingface")
    model, said = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(said[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    stated = json.loads((tmp_path / files.CONFIG).read_text())
    assert stated["architectures"] == [type(model).__name__]
    pixels, tokens, pooled = ours(module, params)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    if module.size[0] == module.size[1]:
        given = processor(photograph(), return_tensors="pt")["pixel_values"]
    else:
        how = dict(do_resize=False, do_center_crop=False, do_rescale=False, return_tensors="pt")
        given = processor(pixels, **how)["pixel_values"].float()
    with torch.no_grad():
        made = model.eval()(given)
        state = made.last_hidden_state
        if case.startswith("clip"):  # theirs norms the class token alone
            state = getattr(model, "vision_model", model).post_layernorm(state)
    first, rest = rows(state, len(tokens))
    close(tokens, rest)
    if pooled is not None:
        close(pooled, first[0])
        if case != "beit, mean":
            close(pooled, made.pooler_output[0])


@pytest.mark.parametrize("case", TIMM)
def test_timm_builds_it_and_computes_the_same(case, tmp_path):
    timm = pytest.importorskip("timm")
    module, params = drawn(TIMM[case])
    exporting.save(tmp_path, params, {"encoder": TIMM[case]}, to="timm")
    model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert model.state_dict().keys() == files.read(tmp_path / files.WEIGHTS).keys()
    pixels, tokens, pooled = ours(module, params)
    how = timm.data.resolve_model_data_config(model)
    if module.size[0] == module.size[1]:
        given = timm.data.create_transform(**how)(Image.fromarray(photograph()))[None]
    else:
        x = (pixels - np.float32(how["mean"])) / np.float32(how["std"])
        given = torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None]
    with torch.no_grad():
        features = model.forward_features(given)
        if case.startswith("swin"):  # channels last
            features = features.flatten(1, 2)
        first, rest = rows(features, len(tokens))
        close(tokens, rest)
        if pooled is not None:
            close(pooled, first[0])
            close(pooled, model(given)[0])


def test_torchvision_builds_the_resnets(tmp_path):
    torchvision = pytest.importorskip("torchvision")
    block = dict(name="resnet18", image=64)
    module, params = drawn(block)
    exporting.save(tmp_path, params, {"encoder": block}, to="resnet")
    model = torchvision.models.resnet18()
    state = {k: torch.from_numpy(x) for k, x in files.read(tmp_path / files.WEIGHTS).items()}
    said = model.load_state_dict(state, strict=False)
    assert said.missing_keys == ["fc.weight", "fc.bias"] and not said.unexpected_keys
    model.fc, model.avgpool = torch.nn.Identity(), torch.nn.Identity()
    pixels, tokens, _ = ours(module, params)
    x = np.ascontiguousarray(np.asarray(normalize.channels(pixels)).transpose(2, 0, 1))
    with torch.no_grad():
        made = model.eval()(torch.from_numpy(x)[None])
    close(tokens, made.reshape(512, -1).T)


@pytest.mark.parametrize("case", TRANSFORMERS)
def test_what_transformers_saves_again_is_what_we_gave(case, tmp_path):
    block = TRANSFORMERS[case]
    _, params = drawn(block)
    exporting.save(tmp_path / "ours", params, {"encoder": block}, to="huggingface")
    transformers.AutoModel.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    ours, theirs = (importing.read(tmp_path / name).params for name in ("ours", "theirs"))
    assert ours.keys() == theirs.keys()
    for path, x in ours.items():
        np.testing.assert_array_equal(x, theirs[path], err_msg=path)
    assert nested(ours)["encoders"]["image"].keys() >= params.keys() - {"mask_token"}


@pytest.mark.parametrize(
    "to, block, sentence",
    [
        ("timm", VIT | dict(eps=1e-12), "VisionTransformer is an encoder with eps=1e-06 or 1e-05"),
        ("timm", VIT | dict(pre_norm=True), "patch_bias=False, and this one has True"),
        ("timm", BEIT | dict(activation="relu"), "Beit is an encoder with activation='gelu'"),
        ("timm", BEIT | dict(final_norm=False), "Beit is an encoder with final_norm=True"),
        ("timm", BEIT | dict(class_token=False), "Beit is an encoder with class_token=True"),
        ("timm", SWIN | dict(shift=False), "shift=True, and this one has False"),
        ("timm", SWIN | dict(window=5), r"attends to padding, and the windows of \(5, 5\)"),
        ("timm", RESNET | dict(width=8), "ResNet is an encoder with width=64, and this one has 8"),
        ("timm", RESNET, "four stages"),
        ("timm", dict(name="resnet_nano"), "an encoder with stem='imagenet'"),
        ("timm", dict(name="replknet_nano"), "without a name in"),
        ("timm", dict(name="dalle_encoder", width=4, image=32), "without a name in"),
        ("huggingface", VIT | dict(class_token=False), "'vit' is an encoder with class_token=True"),
        ("huggingface", VIT | dict(positions="none"), "positions='learned' or 'sincos' or 'tuned'"),
        ("huggingface", VIT | dict(pre_norm=True), "in clip_image_huggingface: patch_embed/bias"),
        ("huggingface", VIT | ODD | dict(layer_scale=0.1), "a whole mlp_ratio, not 2.69"),
        ("huggingface", VIT | dict(gated=True, activation="silu", mlp_ratio=3), "in multiples of"),
        ("huggingface", VIT | dict(gated=True), "an encoder with activation='silu'"),
        ("huggingface", ROPE | dict(class_token=False), "'dinov3_vit' is an encoder with class_"),
        ("timm", ROPE | dict(qkv_bias=True), "DINOv3 is an encoder with qkv_bias='qv' or False"),
        ("timm", VIT | dict(norm="rms", class_token=False), "without a name in aimv2_timm: "),
        ("huggingface", VIT | dict(qk_norm="rms"), "without a name in huggingface: blocks/attn/k_"),
        ("huggingface", CLIP | dict(image=(32, 64)), "sees squares"),
        ("huggingface", SWIN | dict(window=(8, 4)), "windows of one size"),
        ("huggingface", SWIN | dict(image=(32, 64), window=8), "has square windows"),
        ("huggingface", SWIN | dict(window=5), "attends to padding"),
        ("huggingface", dict(name="resnet_nano"), "an encoder with stem='imagenet'"),
        ("huggingface", dict(name="replknet_nano"), "without a name in"),
    ],
)
def test_what_they_cannot_be_is_refused(to, block, sentence, tmp_path):
    kwargs = dict(block)
    module = encoders.create(kwargs.pop("name"), **kwargs)
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    with pytest.raises(ConfigError, match=sentence):
        exporting.save(tmp_path / "x", params, {"encoder": block}, to=to)
    assert not (tmp_path / "x").exists()
