"""The config.json of exported weights: what timm and transformers need to build the model."""

from collections.abc import Callable, Mapping
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.interop.rename import Layout
from m3i_jax.normalize import CHANNELS

Described = dict[str, Any]


def config(module: Any, layout: Layout) -> Described:
    """The description of an encoder for the library whose names `layout` has; {} for others.

    Raises:
      ConfigError: the library's model of that kind cannot be like this encoder.
    """
    describe = DESCRIPTIONS.get(layout.name)
    return describe(module) if describe else {}


def _timm(architecture: str, **arguments: Any) -> Callable[[Any], Described]:
    """A description for timm: `architecture`, and model_args given as functions of the encoder."""

    def describe(module):
        height, width = module.size
        mean, std = CHANNELS[getattr(module, "normalization", "imagenet")]
        return {
            "architecture": architecture,
            "num_classes": 0,
            "num_features": module.features,
            "model_args": {k: make(module) for k, make in arguments.items()} | {"num_classes": 0},
            "pretrained_cfg": {
                "input_size": [3, height, width],
                "mean": mean,
                "std": std,
                "interpolation": "bicubic",
                "num_classes": 0,
            },
        }

    return describe


def _field(name: str) -> Callable[[Any], Any]:
    return lambda module: getattr(module, name)


_TIMM_SIZES = dict(
    img_size=lambda m: list(m.size),
    patch_size=_field("patch"),
    embed_dim=_field("width"),
    depth=_field("depth"),
    num_heads=_field("heads"),
    mlp_ratio=_field("mlp_ratio"),
    init_values=_field("layer_scale"),
)
_timm_vit = _timm(
    "vit_base_patch16_224",
    **_TIMM_SIZES,
    qkv_bias=_field("qkv_bias"),
    class_token=_field("class_token"),
    global_pool=lambda m: "token" if m.class_token else "avg",
    pre_norm=_field("pre_norm"),
    final_norm=_field("final_norm"),
    fc_norm=lambda m: False,
)
_timm_beit = _timm(
    "beit_base_patch16_224",
    **_TIMM_SIZES,
    qkv_bias=lambda m: True,
    global_pool=lambda m: "token",
    use_abs_pos_emb=lambda m: m.positions != "none",
    use_rel_pos_bias=lambda m: m.relative_bias == "layer",
    use_shared_rel_pos_bias=lambda m: m.relative_bias == "shared",
)


def _transformers(
    kind: str, needs: Mapping[str, Any], **fields: Callable[[Any], Any]
) -> Callable[[Any], Described]:
    """A description for transformers: `model_type`, and fields given as functions of the encoder.

    needs: fields of ours without which there is no such model.
    """

    def describe(module):
        for name, value in needs.items():
            if getattr(module, name) != value:
                raise ConfigError(
                    f"transformers' '{kind}' is an encoder with {name}={value!r}, "
                    f"and this one has {getattr(module, name)!r}"
                )
        return {"model_type": kind} | {name: make(module) for name, make in fields.items()}

    return describe


_SIZES = dict(
    hidden_size=_field("width"),
    num_hidden_layers=_field("depth"),
    num_attention_heads=_field("heads"),
    image_size=lambda m: m.size[0] if m.size[0] == m.size[1] else list(m.size),
    patch_size=_field("patch"),
    layer_norm_eps=_field("eps"),
    hidden_act=_field("activation"),
)
_HIDDEN = dict(intermediate_size=lambda m: round(m.mlp_ratio * m.width))
_WHOLE = dict(class_token=True, final_norm=True, patch_bias=True)
_vit = _transformers("vit", _WHOLE, **_SIZES, **_HIDDEN, qkv_bias=_field("qkv_bias"))
_dinov2 = _transformers(
    "dinov2",
    _WHOLE,
    **_SIZES,
    mlp_ratio=lambda m: _whole(m.mlp_ratio),
    qkv_bias=_field("qkv_bias"),
    layerscale_value=_field("layer_scale"),
    use_mask_token=lambda m: m.hide == "mask",
)
_beit = _transformers(
    "beit",
    dict(class_token=True, qkv_bias="qv", patch_bias=True),
    **_SIZES,
    **_HIDDEN,
    layer_scale_init_value=lambda m: m.layer_scale or 0.0,
    use_absolute_position_embeddings=lambda m: m.positions != "none",
    use_relative_position_bias=lambda m: m.relative_bias == "layer",
    use_shared_relative_position_bias=lambda m: m.relative_bias == "shared",
    use_mean_pooling=lambda m: not m.final_norm,
)
_clip = _transformers(
    "clip_vision_model",
    dict(class_token=True, final_norm=True, patch_bias=False, pre_norm=True),
    **_SIZES,
    **_HIDDEN,
)

_timm_swin = _timm(
    "swinv2_base_window8_256",
    img_size=lambda m: list(m.size),
    patch_size=_field("stride"),
    embed_dim=_field("width"),
    depths=lambda m: list(m.depths),
    num_heads=lambda m: list(m.heads),
    window_size=_field("window"),
    mlp_ratio=_field("mlp_ratio"),
    pretrained_window_sizes=_field("pretrained_window"),
)
_swin = _transformers(
    "swinv2",
    dict(final_norm=True),
    embed_dim=_field("width"),
    depths=lambda m: list(m.depths),
    num_heads=lambda m: list(m.heads),
    window_size=_field("window"),
    pretrained_window_sizes=lambda m: _per_stage(m.pretrained_window, m.depths),
    mlp_ratio=_field("mlp_ratio"),
    image_size=lambda m: m.size[0],
    patch_size=_field("stride"),
)
_timm_resnet = _timm(
    "resnet50",
    block=_field("block"),
    layers=lambda m: list(m.depths),
)
_resnet = _transformers(
    "resnet",
    dict(stem="imagenet"),
    embedding_size=_field("width"),
    depths=lambda m: list(m.depths),
    layer_type=_field("block"),
    hidden_sizes=lambda m: [m.features >> (len(m.depths) - 1 - i) for i in range(len(m.depths))],
    hidden_act=lambda m: "relu",
    downsample_in_first_stage=lambda m: False,
)


def _whole(ratio: float) -> int | float:
    """4 of 4.0, as transformers wants it."""
    return int(ratio) if ratio == int(ratio) else ratio


def _per_stage(value: Any, depths: Any) -> list[int]:
    return [value] * len(depths) if isinstance(value, int) else list(value)


DESCRIPTIONS: dict[str, Callable[[Any], Described]] = {
    "timm": _timm_vit,
    "beit": _timm_beit,
    "huggingface": _vit,
    "dinov2_huggingface": _dinov2,
    "beit_huggingface": _beit,
    "clip_image_huggingface": _clip,
    "swin_v2_timm": _timm_swin,
    "swin_v2_huggingface": _swin,
    "resnet": _timm_resnet,
    "resnet_huggingface": _resnet,
}
