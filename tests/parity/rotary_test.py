"""ViTs with rotary positions, gated layers and further norms, both ways, beside their peers.

timm's DINOv3, EVA-02 and AIMv2, transformers' AIMv2, SigLIP 2 and MetaCLIP 2, of random weights;
original names of DINOv3, EVA-02 and AIMv2 through timm's readers of them; CAPI's by its formula.
"""

import json
import math

import jax
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.interop import conversion, exporting, files, rotary
from m3i_jax.interop.rename import nested

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")
filters = (
    pytest.importorskip("timm.models.eva"),
    pytest.importorskip("timm.models.vision_transformer"),
)

SIDE, PATCH = 24, 8
SMALL = dict(img_size=SIDE, patch_size=PATCH, embed_dim=32, depth=2, num_heads=4, num_classes=0)
HALVES = dict(mlp_ratio=2.5, num_heads=2)
TIMM = {
    "dinov3": ("vit_small_patch16_dinov3_qkvb", SMALL | dict(dynamic_img_size=False)),
    "dinov3, gated": ("vit_small_plus_patch16_dinov3", SMALL | dict(num_reg_tokens=2)),
    "eva02": ("eva02_tiny_patch14_224", SMALL | HALVES | dict(global_pool="token")),
    "eva02, norms": ("eva02_base_patch16_clip_224", SMALL | HALVES | dict(qk_norm=True)),
    "eva02, averaged": ("eva02_base_patch14_224", SMALL | HALVES),
    "aimv2": ("aimv2_large_patch14_224", SMALL | HALVES),
    "qk_norm": ("vit_small_patch16_224", SMALL | dict(qk_norm=True)),
}


SIZES = dict(patch=PATCH, width=32, depth=2)


def draw(model, scale=0.3):
    """Every parameter anew, norms near one."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = scale * torch.randn(p.shape, generator=generator)
            p.copy_(1 + noise if "norm" in name and name.endswith("weight") else noise)
    return model.eval()


def images(side=SIDE):
    x = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)
    return x, torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def read(source, name="", **fields):
    """(imported, block, module, params): the encoder of a file, of the fields that it says."""
    imported = conversion.read(source)
    block = conversion.block(imported, name, dict(image=SIDE, normalization="imagenet") | fields)
    found, _ = conversion.encoder(imported, block, chosen=("image", "normalization", *fields))
    kwargs = dict(block)
    params = nested(found)["encoders"]["image"]
    return imported, block, encoders.create(kwargs.pop("name"), **kwargs), params


def encoded(module, params, x):
    code = jax.jit(lambda x: module.apply({"params": params}, x))(x)
    first = () if code.pooled is None else (code.pooled[:, None],)
    return np.concatenate([*first, code.tokens], axis=1)


def close(got, want, atol=2e-5):
    want = want.detach().numpy() if hasattr(want, "detach") else want
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=atol * np.abs(want).max())


def without(features, registers, class_token=True):
    """Of theirs, class token and patches."""
    first = int(class_token)
    return np.concatenate([features[:, :first], features[:, first + registers :]], axis=1)


@pytest.mark.parametrize("case", TIMM)
def test_timm_both_ways(case, tmp_path):
    name, options = TIMM[case]
    model = draw(timm.create_model(name, **options))
    timm.models.save_for_hf(model, tmp_path / "in", safe_serialization=True, model_args=options)
    _, block, module, params = read(tmp_path / "in")
    x, given = images()
    with torch.no_grad():
        want = model.forward_features(given).numpy()
    want = without(want, module.registers, module.class_token)
    close(encoded(module, params, x), want)
    if case == "eva02, averaged":  # its norm is behind the mean, and so no final norm of ours
        return
    exporting.save(tmp_path / "out", params, {"encoder": block}, to="timm")
    again = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    with torch.no_grad():
        theirs = without(
            again.forward_features(given).numpy(), module.registers, module.class_token
        )
    close(theirs, want)


def original(model, renames):
    """A state dict of timm's in the names of another."""
    state = {}
    for key, x in model.state_dict().items():
        for ours, theirs in renames:
            key = key.replace(ours, theirs)
        state[key] = x.numpy()
    return state


def test_original_names_of_dinov3(tmp_path):
    """timm reads what we write in them, and leaves out the periods and the mask of the bias."""
    name, options = TIMM["dinov3"]
    model = draw(timm.create_model(name, **options))
    timm.models.save_for_hf(model, tmp_path / "in", safe_serialization=True, model_args=options)
    _, block, module, params = read(tmp_path / "in")
    state, layout = exporting.export(params, module, to="dinov3")
    exporting.save(tmp_path / "own", params, {"encoder": block}, to="dinov3")
    written = files.read(tmp_path / "own" / files.WEIGHTS)
    assert layout is rotary.DINOV3 and written["rope_embed.periods"].shape == (2,)
    assert written["blocks.0.attn.qkv.bias_mask"].sum() == 64 and "storage_tokens" in written
    torch_state = {key: torch.from_numpy(x) for key, x in written.items()}
    filtered = filters[0].checkpoint_filter_fn(torch_state, model)
    for key, x in model.state_dict().items():
        np.testing.assert_array_equal(filtered[key], x, err_msg=key)
    # Back from the bare names: heads by the periods, in bfloat16 as published.
    bare = tmp_path / "bare.safetensors"
    rounded = torch_state["rope_embed.periods"].bfloat16().float().numpy()
    files_of = dict(written) | {"rope_embed.periods": rounded}
    save_file(files_of, bare)
    imported, block, _, again = read(bare, "vit_b16", hide="mask", **SIZES)
    assert imported.layout is rotary.DINOV3 and block["heads"] == 4 and block["qkv_bias"] == "qv"
    assert not again.pop("mask_token").any()
    jax.tree.map(np.testing.assert_array_equal, again, params)
    save_file(files_of | {"rope_embed.periods": 2 * rounded}, bare)
    with pytest.raises(ConfigError, match="rotary positions are not those of 'dinov3'"):
        conversion.read(bare)
    ones = np.ones(96, np.float32)
    masked = {f"blocks.0.attn.qkv.{name}": ones for name in ("bias", "bias_mask")}
    save_file(files_of | masked, bare)
    with pytest.raises(ConfigError, match="bias_mask lets keys have a bias"):
        conversion.read(bare)
    save_file(files_of | {"blocks.0.attn.q_norm.weight": np.ones(8, np.float32)}, bare)
    with pytest.raises(ConfigError, match=r"'dinov3'.* blocks\.0\.attn\.q_norm\.weight"):
        conversion.read(bare, layout="dinov3")


def save_file(state, file):
    pytest.importorskip("safetensors.numpy").save_file(
        {key: np.ascontiguousarray(x) for key, x in state.items()}, file
    )


ORIGINAL = {
    "eva02": ("eva02, norms", [("q_proj.bias", "q_bias"), ("v_proj.bias", "v_bias"),
              ("mlp.norm", "mlp.ffn_ln"), ("attn.norm", "attn.inner_attn_ln"),
              ("mlp.fc1_g", "mlp.w1"), ("mlp.fc1_x", "mlp.w2"), ("mlp.fc2", "mlp.w3")]),
    "aimv2": ("aimv2", [("norm1", "norm_1"), ("norm2", "norm_2"), ("blocks", "trunk.blocks"),
              ("patch_embed", "preprocessor.patchifier"), ("pos_embed", "preprocessor.pos_embed"),
              ("mlp.fc1_g", "mlp.fc1"), ("mlp.fc1_x", "mlp.fc3")]),
}  # fmt: skip


@pytest.mark.parametrize("layout", ORIGINAL)
def test_original_names_by_timms_reader_of_them(layout, tmp_path):
    case, renames = ORIGINAL[layout]
    name, options = TIMM[case]
    options = {key: x for key, x in options.items() if key != "qk_norm"}
    model = draw(timm.create_model(name, **options))
    state = original(model, renames)
    if layout == "aimv2":
        state = {("trunk.post_trunk_" + k if k.startswith("norm.") else k): x
                 for k, x in state.items()}  # fmt: skip
    convert = filters[0].checkpoint_filter_fn if layout == "eva02" else filters[1]._convert_aimv2
    back = convert({key: torch.from_numpy(x) for key, x in state.items()}, model)
    assert back.keys() == model.state_dict().keys()  # these are the names that timm knows
    save_file(state, tmp_path / "it.safetensors")
    sizes = dict(patch=PATCH, width=32, depth=2, heads=2, mlp_ratio=2.5)
    imported, _, module, params = read(tmp_path / "it.safetensors", "vit_b16", **sizes)
    assert imported.layout.name == layout
    x, given = images()
    with torch.no_grad():
        want = model.forward_features(given).numpy()
    close(encoded(module, params, x), want)
    written, _ = exporting.export(params, module, to=layout)
    assert written.keys() == state.keys()
    for key, x in state.items():
        np.testing.assert_array_equal(written[key], x, err_msg=key)


VISION = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
TRANSFORMERS = {
    "aimv2": ("Aimv2Vision", VISION | dict(image_size=SIDE, patch_size=PATCH)),
    "metaclip_2": ("MetaClip2Vision", VISION | dict(image_size=SIDE, patch_size=PATCH)),
    "siglip_2": ("Siglip2Vision", VISION | dict(num_patches=9, patch_size=PATCH)),
}


@pytest.mark.parametrize("case", TRANSFORMERS)
def test_transformers(case, tmp_path):
    kind, fields = TRANSFORMERS[case]
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**fields))
    draw(model).save_pretrained(tmp_path / "in")
    _, block, module, params = read(tmp_path / "in")
    x, given = images()
    how = dict(pixel_values=given)
    if case == "siglip_2":  # patches in rows, and how many of them each image has
        cells = x.reshape(2, 3, PATCH, 3, PATCH, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 9, -1)
        how = dict(pixel_values=torch.from_numpy(cells), pixel_attention_mask=torch.ones(2, 9),
                   spatial_shapes=torch.tensor([[3, 3]] * 2))  # fmt: skip
    with torch.no_grad():
        want = model(**how).last_hidden_state
        if case == "metaclip_2":  # its last norm is of the class token alone
            want = getattr(model, "vision_model", model).post_layernorm(want)
    close(encoded(module, params, x), want)
    if case == "siglip_2":
        said = json.loads((tmp_path / "in" / files.CONFIG).read_text())
        (tmp_path / "in" / files.CONFIG).write_text(json.dumps(said | {"num_patches": 8}))
        with pytest.raises(ConfigError, match="num_patches is 8, and positions of ours are those"):
            conversion.read(tmp_path / "in")
        return
    exporting.save(tmp_path / "out", params, {"encoder": block}, to="huggingface")
    again, said = transformers.AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(said[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        theirs = again.eval()(given).last_hidden_state
        if case == "metaclip_2":
            theirs = getattr(again, "vision_model", again).post_layernorm(theirs)
    close(theirs.numpy(), want)


def capi(state, x, heads, visible=None):
    """CAPI's encoder by its formula, in float64; `visible`: flat indices of the cells seen."""
    p = {key: np.asarray(value, np.float64) for key, value in state.items()}
    cells = x.reshape(3, PATCH, 3, PATCH, 3).transpose(0, 2, 4, 1, 3).reshape(9, -1)
    kernel = p["patch_embed.weight"].reshape(32, -1)
    tokens = cells.astype(np.float64) @ kernel.T + p["patch_embed.bias"]
    places = np.array([(r, c) for r in (0, 0.5, 1) for c in (0, 0.5, 1)])
    if visible is not None:
        tokens, places = tokens[visible], places[visible]
    around = np.array([(0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1), (0.5, 1), (0, 1), (0, 0.5)])
    low, high = places.min(0), places.max(0)
    places = np.concatenate([low + around * (high - low), places])
    y = np.concatenate([p["registers"][0], tokens])

    def norm(y, weight=1.0):
        return weight * y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5)

    def turned(z, freqs):
        a = places @ freqs
        half = np.concatenate([-z[..., z.shape[-1] // 2 :], z[..., : z.shape[-1] // 2]], -1)
        return z * np.cos(a) + half * np.sin(a)

    for i in range(2):
        first, second = (f"encoder.blocks.{i}.residual{k}." for k in (1, 2))
        z = norm(y, p[first + "norm.weight"])
        q, k, v = (
            (z @ p[f"{first}fn.{n}_proj.weight"].T).reshape(len(z), heads, -1).swapaxes(0, 1)
            for n in "qkv"
        )
        q, k = (turned(t, p[first + "fn.rope.freqs"]) for t in (q, k))
        s = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        w = np.exp(s - s.max(-1, keepdims=True))
        w /= w.sum(-1, keepdims=True)
        y = y + (w @ v).swapaxes(0, 1).reshape(len(z), -1) @ p[first + "fn.proj.weight"].T
        h = norm(y, p[second + "norm.weight"]) @ p[second + "fn.fc1.weight"].T
        h = h * 0.5 * (1 + np.vectorize(math.erf)(h / np.sqrt(2)))
        y = y + h @ p[second + "fn.fc2.weight"].T
    return norm(y)[8:]


def capis(heads=2):
    """A state dict as CAPI keeps it."""
    rng = np.random.default_rng(0)
    shapes = {"registers": (1, 8, 32), "patch_embed.weight": (32, 3, PATCH, PATCH),
              "patch_embed.bias": (32,), "mask_token": (1, 16)}  # fmt: skip
    for i in range(2):
        first, second = (f"encoder.blocks.{i}.residual{k}." for k in (1, 2))
        shapes |= {
            f"{first}fn.{n}.weight": (32, 32) for n in ("q_proj", "k_proj", "v_proj", "proj")
        }
        shapes |= {first + "norm.weight": (32,), second + "norm.weight": (32,),
                   second + "fn.fc1.weight": (128, 32), second + "fn.fc2.weight": (32, 128),
                   f"decoder.blocks.{i}.residual1.norm.weight": (16,)}  # fmt: skip
    state = {key: rng.normal(size=x).astype(np.float32) * 0.3 for key, x in shapes.items()}
    dim = 32 // heads
    f = 2 * np.pi * 7 * (7 / 7e-4) ** np.linspace(0, -1, dim // 4)
    freqs = np.zeros((2, dim), np.float32)
    freqs[0, : dim // 2] = freqs[1, dim // 2 :] = np.concatenate([f, f])
    return state | {f"encoder.blocks.{i}.residual1.fn.rope.freqs": freqs for i in range(2)}


def test_capi_by_its_formula_and_back(tmp_path):
    state = capis()
    save_file({f"backbone.{key}": x for key, x in state.items()}, tmp_path / "it.safetensors")
    sizes = dict(patch=PATCH, width=32, depth=2, mlp_ratio=4.0)
    imported, block, module, params = read(tmp_path / "it.safetensors", "vit_b16", **sizes)
    assert imported.layout is rotary.CAPI and block["heads"] == 2 and module.registers == 8
    x, _ = images()
    close(encoded(module, params, x), np.stack([capi(state, one, 2) for one in x]), atol=1e-5)
    visible = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    seen = module.apply({"params": params}, x[:1], visible=visible[None], keep=3).tokens[0]
    close(seen, capi(state, x[0], 2, np.flatnonzero(visible)), atol=1e-5)
    exporting.save(tmp_path / "out", params, {"encoder": block}, to="capi")
    written = files.read(tmp_path / "out" / files.WEIGHTS)
    for key, value in written.items():
        np.testing.assert_allclose(value, state[key], rtol=1e-6, err_msg=key)
    left = state.keys() - written.keys()
    assert {key.split(".")[0] for key in left} == {"decoder", "mask_token"}
    params["norm"]["scale"] = 2 * params["norm"]["scale"]
    with pytest.raises(ConfigError, match="CAPI's norm behind the last block has no scale"):
        exporting.export(params, module, to="capi")
