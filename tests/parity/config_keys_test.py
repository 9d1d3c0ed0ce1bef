"""Every key of transformers' configs, varied: what changes their features is read, or refused."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_transformers

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
SIZES |= dict(image_size=32, patch_size=8)
DINO = {key: x for key, x in SIZES.items() if key != "intermediate_size"}
SWIN = dict(image_size=32, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4)
RESNET = dict(embedding_size=8, hidden_sizes=[32, 64], depths=[1, 2])
MODELS = {
    "ViT": SIZES,
    "ViTMSN": SIZES,
    "ViTMAE": SIZES | dict(mask_ratio=0.0),
    "IJepa": SIZES,
    "Dinov2": DINO,
    "Beit": SIZES | dict(use_relative_position_bias=True),
    "Data2VecVision": SIZES | dict(use_absolute_position_embeddings=True),
    "CLIPVision": SIZES,
    "Swinv2": SWIN,
    "ResNet": RESNET,
}
# What another library would do in training alone, or give besides the features.
NOT_FEATURES = ("output_hidden_states", "output_attentions", "return_dict", "torchscript")


def variations(value):
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, 2 * value, max(1, value // 2)]
    if isinstance(value, float):
        return [2 * value + 0.1]
    if isinstance(value, str):
        return ["relu", "sum", "mean", value + "x"]
    if isinstance(value, list) and value and all(isinstance(x, int) for x in value):
        return [[x + 1 for x in value], [2 * x for x in value], value[:1]]
    return [1, True, 0.5] if value is None else []


def features(kind, config, weights):
    """Of fixed images by fixed weights; None where there is no such model, or of other shapes."""
    cls = getattr(transformers, f"{kind}Model")
    try:
        model = cls(cls.config_class.from_dict(config)).eval()
        model.load_state_dict(weights or model.state_dict())
        images = torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            return model, model(images).last_hidden_state
    except Exception:  # whatever a library makes of such a config
        return None


def drawn(kind, config):
    torch.manual_seed(0)
    model, _ = features(kind, config, None)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.3 * torch.randn(p.shape) + (p.ndim == 1))
    return model.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_what_changes_their_features_is_read_or_refused(kind):
    base = getattr(transformers, f"{kind}Config")(**MODELS[kind]).to_dict()
    known, weights = beside_transformers.model(base), drawn(kind, base)
    torch.manual_seed(0)
    _, want = features(kind, base, weights)
    told = changed = 0
    for key, value in base.items():
        for other in variations(value):
            varied = base | {key: other}
            try:
                stated = beside_transformers.model(varied)
            except ConfigError:
                continue
            torch.manual_seed(0)
            found = features(kind, varied, weights)
            if key in (*NOT_FEATURES, "dtype") or found is None or found[1].shape != want.shape:
                continue
            told += 1
            if not torch.allclose(found[1], want, rtol=1e-5, atol=1e-6):
                changed += 1
                assert stated != known, f"{key}={other!r} changes features and nothing is read"
    assert told > 15 and (changed or kind == "ResNet")
