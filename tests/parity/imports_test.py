"""Models of others with unusual settings, saved by them: ours from their files alone, or refused.

A head count, an activation, an eps or a mean is in no shape of a parameter; the files state it.
"""

import json

import jax
import numpy as np
import pytest

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.interop import beside, conversion, files
from m3i_jax.interop.rename import nested

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
SIZES |= dict(image_size=32, patch_size=8)
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OWN = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
BEIT = SIZES | dict(layer_norm_eps=1e-3, hidden_act="relu", layer_scale_init_value=0.3)
SWIN = dict(image_size=64, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4)
RESNET = dict(embedding_size=8, hidden_sizes=[32, 64], depths=[1, 2])

# Class, settings of its config, mean and deviation of the preprocessor, options.
CASES = {
    "vit, relu": ("ViTModel", SIZES | dict(hidden_act="relu", layer_norm_eps=1e-3), HALF),
    "vit, tanh": ("ViTModel", SIZES | dict(hidden_act="gelu_new", qkv_bias=False), OWN),
    "vit, wide": ("ViTModel", SIZES | dict(image_size=[32, 64], hidden_act="quick_gelu"), HALF),
    "vit, list": ("ViTModel", SIZES | dict(patch_size=[8, 8], hidden_act="silu"), HALF),
    "vit, eight heads": ("ViTModel", SIZES | dict(num_attention_heads=8), HALF),
    "msn": ("ViTMSNModel", SIZES | dict(layer_norm_eps=1e-2), HALF),
    "ijepa": ("IJepaModel", SIZES | dict(layer_norm_eps=1e-3), OWN),
    "dinov2": ("Dinov2Model", {k: x for k, x in SIZES.items() if k != "intermediate_size"}
               | dict(mlp_ratio=2, hidden_act="gelu_pytorch_tanh"), OWN),
    "registers": ("Dinov2WithRegistersModel", {k: x for k, x in SIZES.items()
                  if k != "intermediate_size"} | dict(num_register_tokens=3), OWN),
    "swiglu": ("Dinov2Model", {k: x for k, x in SIZES.items() if k != "intermediate_size"}
               | dict(use_swiglu_ffn=True, mlp_ratio=3), OWN),
    "dinov3": ("DINOv3ViTModel", SIZES | dict(num_register_tokens=3, hidden_act="relu"), OWN),
    "dinov3, wide": ("DINOv3ViTModel", SIZES | dict(image_size=[32, 64], use_gated_mlp=True,
                     hidden_act="silu", rope_theta=20.0, layer_norm_eps=1e-3), HALF),
    "dinov3, 7B": ("DINOv3ViTModel", SIZES | dict(use_gated_mlp=True, hidden_act="silu",
                   query_bias=False, value_bias=False), OWN),
    "beit": ("BeitModel", BEIT | dict(use_relative_position_bias=True,
             use_mean_pooling=False), HALF),
    "beit, shared": ("BeitModel", BEIT | dict(use_shared_relative_position_bias=True,
                     use_absolute_position_embeddings=True), HALF),
    "data2vec": ("Data2VecVisionModel", BEIT | dict(use_relative_position_bias=True), HALF),
    "clip": ("CLIPVisionModel", SIZES | dict(hidden_act="gelu", layer_norm_eps=1e-3), HALF),
    "swin_v2": ("Swinv2Model", SWIN | dict(pretrained_window_sizes=[6, 3]), HALF),
    "resnet": ("ResNetModel", RESNET, OWN),
    "resnet, basic": ("ResNetModel", RESNET | dict(hidden_sizes=[8, 16], layer_type="basic"), HALF),
}  # fmt: skip


def draw(model):
    """Every parameter of a torch model anew, large enough for activations to tell."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            norm = "norm" in name and name.endswith("weight")
            p.copy_(1 + 0.3 * noise if norm else (0.2 if p.ndim < 4 else 0.1) * noise)
    return model.eval()


def preprocessor(folder, mean, std, **more):
    """As a processor of transformers saves it."""
    processor = transformers.CLIPImageProcessor(image_mean=list(mean), image_std=list(std), **more)
    processor.save_pretrained(folder)


def saved(case, folder):
    """The model of a case, and its files."""
    kind, settings, (mean, std) = CASES[case]
    model = draw(getattr(transformers, kind)(getattr(transformers, kind).config_class(**settings)))
    model.save_pretrained(folder)
    preprocessor(folder, mean, std)
    return model


def ours(folder, pixels, name="", **fields):
    """The tokens of pixels in [0, 1] by our encoder, made of the files in a folder."""
    imported = conversion.read(folder)
    block = conversion.block(imported, name, fields)
    params, _ = conversion.encoder(imported, block, ignore="mask_token$", chosen=fields)
    tree = nested(params)["encoders"]["image"]
    module = beside.create(block)
    images = normalize.channels(pixels)
    return jax.jit(lambda x: module.apply({"params": tree}, x))(images).tokens


def drawn_pixels(height, width):
    return np.random.default_rng(3).uniform(size=(2, height, width, 3)).astype(np.float32)


def given(pixels, mean, std):
    x = (pixels - np.float32(mean)) / np.float32(std)
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def close(got, want):
    """To 1e-5 of the largest number."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("case", CASES)
def test_what_their_files_state_is_what_our_encoder_is(case, tmp_path):
    model = saved(case, tmp_path)
    sides = model.config.to_dict().get("image_size", 64)
    pixels = drawn_pixels(*(sides if isinstance(sides, list) else (sides, sides)))
    with torch.no_grad():
        want = model(given(pixels, *CASES[case][2])).last_hidden_state
        if case == "clip":  # ours ends in the norm that theirs gives the class token
            want = getattr(model, "vision_model", model).post_layernorm(want)
    want = want.numpy()
    if want.ndim == 4:
        want = want.reshape(*want.shape[:2], -1).transpose(0, 2, 1)
    got = ours(tmp_path, pixels)
    close(got, want[:, want.shape[1] - got.shape[1] :])


@pytest.mark.parametrize("side", [(16, 64), (64, 64), (32, 16)])
def test_a_table_is_resampled_from_the_grid_that_the_file_states(side, tmp_path):
    """A grid of 4x8 in 2x8, 8x8 and 4x2; theirs are moved by torch, without antialias."""
    model = saved("vit, wide", tmp_path)
    pixels = drawn_pixels(*side)
    table = model.embeddings.position_embeddings.detach()
    cells = table[:, 1:].reshape(1, 4, 8, 32).permute(0, 3, 1, 2)
    to = side[0] // 8, side[1] // 8
    moved = torch.nn.functional.interpolate(cells, size=to, mode="bicubic", align_corners=False)
    table = torch.cat([table[:, :1], moved.flatten(2).transpose(1, 2)], 1)
    other = type(model)(model.config_class(**model.config.to_dict() | dict(image_size=list(side))))
    state = {name: x for name, x in model.state_dict().items() if "position_emb" not in name}
    assert other.load_state_dict(state, strict=False).missing_keys
    other.embeddings.position_embeddings = torch.nn.Parameter(table)
    with torch.no_grad():
        want = other.eval()(given(pixels, *HALF)).last_hidden_state
    close(ours(tmp_path, pixels, image=side), want[:, 1:])


DINO = {k: x for k, x in SIZES.items() if k != "intermediate_size"}
BOTH = dict(use_relative_position_bias=True, use_shared_relative_position_bias=True)
# A model, what is changed in its config, and the refusal, which names the key.
REFUSED = {
    "activation": ("ViT", SIZES, dict(hidden_act="relu2"), "hidden_act is 'relu2', which no"),
    "patches": ("ViT", SIZES, dict(patch_size=[8, 16]), r"patch_size is \[8, 16\]; patches of"),
    "registers": ("ViT", SIZES, dict(num_register_tokens=4), "says num_register_tokens=4, which"),
    "rope": ("ViT", SIZES, dict(rope_theta=100.0), "says rope_theta=100.0, which no encoder"),
    "heads": ("ViT", SIZES, dict(num_attention_heads="4"), "num_attention_heads is '4', expected"),
    "biases": ("Beit", BEIT, BOTH, "are both on; ours has one"),
    "swin's relu": ("Swinv2", SWIN, dict(hidden_act="relu"), "hidden_act is 'relu', and our"),
    "swin's eps": ("Swinv2", SWIN, dict(layer_norm_eps=1e-3), "layer_norm_eps is 0.001, and our"),
    "gelu": ("ResNet", RESNET, dict(hidden_act="gelu"), "hidden_act is 'gelu', and our"),
    "first stage": ("ResNet", RESNET, dict(downsample_in_first_stage=True), "first_stage is True"),
    "keys": ("DINOv3ViT", SIZES, dict(key_bias=True), "key_bias is True, and our"),
    "type": ("ViT", SIZES, dict(model_type="yolos"), "is a 'yolos', which no layout of ours reads"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_encoder_of_ours_can_be_is_refused_by_the_key(case, tmp_path):
    kind, settings, change, sentence = REFUSED[case]
    model = getattr(transformers, f"{kind}Model")
    model(model.config_class(**settings)).save_pretrained(tmp_path)
    said = json.loads((tmp_path / files.CONFIG).read_text())
    (tmp_path / files.CONFIG).write_text(json.dumps(said | change))
    with pytest.raises(ConfigError, match=sentence):
        conversion.read(tmp_path)


def test_images_that_we_cannot_make_are_refused(tmp_path):
    saved("vit, relu", tmp_path)
    file = tmp_path / files.PREPROCESSOR
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"do_flip_channel_order": True}))
    with pytest.raises(ConfigError, match="do_flip_channel_order is on"):
        conversion.read(tmp_path)


@pytest.mark.parametrize(
    "more, mean, std",
    [
        (dict(do_normalize=False), (0, 0, 0), (1, 1, 1)),
        (dict(do_rescale=False), np.array(OWN[0]) / 255, np.array(OWN[1]) / 255),
        (dict(rescale_factor=1 / 127.5), np.array(OWN[0]) / 2, np.array(OWN[1]) / 2),
    ],
)
def test_images_of_another_scale_are_normalised_alike(more, mean, std, tmp_path):
    """What their processor makes of a photograph is what ours does."""
    saved("vit, relu", tmp_path)
    preprocessor(tmp_path, *OWN, **more)
    found = beside.read(tmp_path).image["normalization"].value
    np.testing.assert_allclose(normalize.statistics(found), (mean, std), atol=1e-7)
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    how = dict(do_resize=False, do_center_crop=False, return_tensors="np")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    want = processor(photo, **how)["pixel_values"][0].transpose(1, 2, 0)
    images = normalize.channels(np.float32(photo) / 255)
    np.testing.assert_allclose(normalize.renormalize(images, found), want, rtol=1e-4, atol=1e-4)


SMALL = dict(img_size=(32, 48), patch_size=8, embed_dim=32, depth=2, num_heads=8, num_classes=0)
STAGES = dict(img_size=64, embed_dim=16, depths=(2, 2), num_heads=(2, 4), num_classes=0)
STAGES |= dict(window_size=4, pretrained_window_sizes=(6, 3))
TIMM = {
    "vit": ("vit_small_patch16_224", SMALL | dict(act_layer="relu", init_values=0.1)),
    "clip": ("vit_base_patch16_clip_quickgelu_224", SMALL),
    "patches alone": ("vit_tiny_patch16_224", SMALL | dict(class_token=False, qkv_bias=False,
                      global_pool="avg", fc_norm=False)),
    "deit3": ("deit3_small_patch16_224", SMALL),
    "no row of its own": ("vit_tiny_patch16_224", SMALL | dict(no_embed_class=True)),
    "registers": ("vit_small_patch14_reg4_dinov2", SMALL | dict(reg_tokens=2)),
    "swiglu": ("vit_giant_patch14_dinov2", SMALL | dict(mlp_ratio=3.0)),
    "flexible": ("flexivit_small", SMALL),
    "clip, its norm named": ("vit_base_patch16_clip_224", SMALL | dict(norm_layer="layernorm")),
    "siglip": ("vit_base_patch32_siglip_gap_256", SMALL | dict(fc_norm=False)),
    "gap": ("vit_base_patch16_gap_224", {k: x for k, x in SMALL.items() if k != "num_heads"}),
    "deep": ("vit_small_patch16_36x1_224", SMALL),
    "beit": ("beit_base_patch16_224", SMALL | dict(global_pool="token")),
    "beit, averaged": ("beit_base_patch16_224", SMALL),
    "beit, shared": ("beit_base_patch16_224", SMALL | dict(use_rel_pos_bias=False,
                     use_shared_rel_pos_bias=True, global_pool="token")),
    "beit, table": ("beitv2_base_patch16_224", SMALL | dict(use_abs_pos_emb=True,
                    use_rel_pos_bias=False, global_pool="token")),
    "swin_v2": ("swinv2_tiny_window8_256", STAGES),
    "resnet": ("resnet50", dict(layers=(1, 1, 1, 1), num_classes=0)),
}  # fmt: skip


@pytest.mark.parametrize("case", TIMM)
def test_what_timm_saves_is_what_our_encoder_is(case, tmp_path):
    timm = pytest.importorskip("timm")
    name, options = TIMM[case]
    side = (32, 48) if options.get("img_size") == (32, 48) else (64, 64)
    how = dict(mean=OWN[0], std=OWN[1], input_size=(3, *side))
    model = draw(timm.create_model(name, **options, pretrained_cfg_overlay=how))
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True, model_args=options)
    pixels = drawn_pixels(*side)
    with torch.no_grad():
        want = model.forward_features(given(pixels, *OWN))
    if case == "resnet":
        want = want.permute(0, 2, 3, 1)
    want = want.flatten(1, -2)
    got = ours(tmp_path, pixels)
    close(got, want[:, want.shape[1] - got.shape[1] :])


def test_a_network_of_grey_images_gives_the_same_of_grey_images(tmp_path):
    """Its channel is repeated; a file that counts other channels than its weights is refused."""
    config = transformers.ViTConfig(**SIZES, num_channels=1)
    model = draw(transformers.ViTModel(config))
    model.save_pretrained(tmp_path)
    preprocessor(tmp_path, (0.5,), (0.5,))
    pixels = np.repeat(drawn_pixels(32, 32)[..., :1], 3, -1)
    with torch.no_grad():
        want = model(given(pixels, *HALF)[:, :1]).last_hidden_state
    close(ours(tmp_path, pixels), want[:, 1:])
    said = json.loads((tmp_path / files.CONFIG).read_text())
    (tmp_path / files.CONFIG).write_text(json.dumps(said | {"num_channels": 3}))
    with pytest.raises(ConfigError, match="images of 1 channels, and 3 in config.json's num_chan"):
        conversion.read(tmp_path)
