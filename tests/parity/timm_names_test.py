"""Every architecture of timm with a name like ours: what it stands for is known, or refused."""

import inspect
import re

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_timm

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

OURS = re.compile(r"(vit|deit|flexivit|beit|swin|resnet|eva|aimv2|naflexvit)")
# Blocks whose forward ours has; rotations and stems of convolutions are told below.
PLAIN = {"VisionTransformer": "Block", "Beit": "Block", "Eva": "EvaBlock"}
ROPES = {"eva02": "RotaryEmbeddingCat", "dinov3": "RotaryEmbeddingDinoV3"}
NAMES = [name for name in timm.list_models() if OURS.match(name)]


def known(name):
    """The facts of an architecture; None where it is refused."""
    try:
        return beside_timm.model({"architecture": name}).fields()
    except ConfigError as error:
        assert str(error).startswith("config.json's architecture"), name
        return None


def check_vit(name, model, facts):
    block = model.blocks[0]
    assert type(block).__name__ == PLAIN.get(type(model).__name__), name
    assert type(model.patch_embed).__name__ == "PatchEmbed", name
    assert (getattr(model, "num_reg_tokens", 0) or 0) == facts.get("registers", 0), name
    assert "registers" not in facts or model.no_embed_class, name
    rope = getattr(model, "rope", None)
    assert (rope and type(rope).__name__) == ROPES.get(facts.get("rope")), name
    assert rope is None or rope.temperature == facts["rope_base"], name
    assert rope is None or (model.pos_embed is None) == (facts["positions"] == "rope"), name
    assert not hasattr(model, "dist_token"), name
    norms = {"layer": "LayerNorm", "rms": "RmsNorm"}[facts.get("norm", "layer")]
    for norm in (block.norm1, block.norm2):
        assert type(norm).__name__ == norms and norm.eps == facts["eps"], name
    assert type(getattr(block.attn, "q_norm", torch.nn.Identity())).__name__ == "Identity", name
    assert block.attn.num_heads == facts["heads"], name
    act = {"GELU": "gelu", "GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu", "SiLU": "silu"}
    gated = facts.get("gated") or facts["activation"] == "silu"  # which the weights show as well
    kinds = ("GluMlp", "SwiGLU") if gated else ("Mlp",)
    assert type(block.mlp).__name__ in kinds and not getattr(block.mlp, "gate_last", False), name
    assert act[type(block.mlp.act).__name__] == facts["activation"], name
    assert model.patch_embed.patch_size == (facts["patch"],) * 2, name


def check_swin(name, model, facts):
    assert type(model).__name__ == "SwinTransformerV2", name
    layers = [stage.blocks[0].attn for stage in model.layers]
    assert facts["heads"] == tuple(layer.num_heads for layer in layers), name
    sizes = tuple(layer.pretrained_window_size[0] for layer in layers)
    assert facts["pretrained_window"] == sizes, name
    assert facts["window"] == layers[0].window_size[0], name
    assert model.patch_embed.patch_size == (facts["stride"],) * 2, name


def check_resnet(name, model, facts):
    stages = [getattr(model, f"layer{i}") for i in (1, 2, 3, 4)]
    assert facts["depths"] == tuple(map(len, stages)), name
    assert (
        facts["block"]
        == {"Bottleneck": "bottleneck", "BasicBlock": "basic"}[type(stages[0][0]).__name__]
    )
    assert type(model).__name__ == "ResNet" and type(model.act1).__name__ == "ReLU", name


def test_every_name_is_what_it_stands_for_or_refused():
    """Built without memory, of one block where its name does not say how many."""
    found = {name: facts for name in NAMES if (facts := known(name))}
    assert len(found) > 80  # of 400
    for name, facts in found.items():
        if name.startswith("swin"):
            check_swin(name, timm.create_model(name, device="meta"), facts)
        elif name.startswith("resnet"):
            check_resnet(name, timm.create_model(name), facts)
        else:
            check_vit(name, timm.create_model(name, depth=1, device="meta"), facts)


def test_names_that_say_how_deep_they_are():
    (name,) = (name for name in NAMES if re.match(r"vit_.*_\d+x1_", name))
    assert known(name)["depth"] == len(timm.create_model(name, device="meta").blocks)


SMALL = dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=4, num_classes=0)
STAGES = dict(img_size=64, embed_dim=8, depths=(2, 2), num_heads=(2, 4), window_size=4)
ARCHITECTURES = {
    "vit_tiny_patch16_224": SMALL,
    "beit_base_patch16_224": SMALL | dict(init_values=0.1),
    "swinv2_tiny_window8_256": STAGES,
    "resnet18": dict(layers=(1, 1, 1, 1), num_classes=0),
}
OTHERS = [True, False, 0, 2, 0.5, "relu", "layernorm", "none", "token"]


def features(name, arguments, weights):
    """Of fixed images by fixed weights; None where there is no such model, or of other shapes."""
    try:
        model = timm.create_model(name, **arguments).eval()
        model.load_state_dict(weights or model.state_dict())
        side = 32 if arguments.get("img_size") == 32 else 64
        images = torch.randn((2, 3, side, side), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            return model, model.forward_features(images)
    except Exception:  # whatever a library makes of such arguments
        return None


def drawn(name, arguments):
    torch.manual_seed(0)
    model, _ = features(name, arguments, None)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.3 * torch.randn(p.shape) + (p.ndim == 1))
    return model.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_an_argument_changes_is_read_or_refused(name):
    base = ARCHITECTURES[name]
    cls = type(timm.create_model(name, **base))
    known, weights = (
        beside_timm.model({"architecture": name, "model_args": base}),
        drawn(name, base),
    )
    _, want = features(name, base, weights)
    keys = [k for k in inspect.signature(cls.__init__).parameters if k not in ("self", "device")]
    told = 0
    for key in keys:
        for other in OTHERS:
            try:
                stated = beside_timm.model(
                    {"architecture": name, "model_args": base | {key: other}}
                )
            except ConfigError:
                continue
            found = features(name, base | {key: other}, weights)
            if found is None or found[1].shape != want.shape:
                continue
            told += 1
            if not torch.allclose(found[1], want, rtol=1e-5, atol=1e-6):
                assert stated != known, f"{key}={other!r} changes features and nothing is read"
    assert told > 20
