"""The config.json of exported weights: what timm and transformers need to build the model.

Each description refuses an encoder that the library's model of that kind cannot be. How images are
normalised, resized and cut is part of it: transformers keeps that in a file of its own.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.interop.beside_transformers import dinov2_ratio
from m3i_jax.interop.rename import Layout

Described = dict[str, Any]
KEPT = 0.875  # of the short side, where evaluation cuts the middle out and nobody says more


def config(module: Any, layout: Layout, *, kept: float = KEPT) -> Described:
    """The description of an encoder for the library whose names `layout` has; {} for others.

    kept: share of the short side of a photograph that it sees.

    Raises:
      ConfigError: the library's model of that kind cannot be like this encoder.
    """
    describe = DESCRIPTIONS.get(layout.name)
    described = describe(module) if describe else {}
    if "pretrained_cfg" in described:
        described["pretrained_cfg"]["crop_pct"] = _crop_pct(max(module.size), _short(module, kept))
    return described


def preprocessor(module: Any, described: Described, *, kept: float = KEPT) -> Described:
    """transformers' preprocessor_config.json for a model so described; {} for others.

    CLIP's processor is the one that resizes the short side and cuts the middle out, as we do.
    """
    if "model_type" not in described:
        return {}
    (height, width), (mean, std) = module.size, _statistics(module)
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": _short(module, kept)},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }


def _statistics(module: Any) -> tuple[tuple, tuple]:
    return normalize.statistics(module.normalization)


def _short(module: Any, kept: float) -> int:
    """Pixels of the short side of an image before the middle is cut out of it."""
    return round(max(module.size) / kept)


def _needs(module: Any, what: str, **wanted: Any) -> None:
    """Refuses an encoder that has other fields than `wanted`; a tuple lists alternatives."""
    for name, value in wanted.items():
        has, allowed = getattr(module, name), value if isinstance(value, tuple) else (value,)
        if not any(has == x and isinstance(has, bool) == isinstance(x, bool) for x in allowed):
            said = " or ".join(map(repr, allowed))
            raise ConfigError(f"{what} is an encoder with {name}={said}, and this one has {has!r}")


def _timm(architecture: str, module: Any, **arguments: Any) -> Described:
    """A description for timm: `architecture` with `arguments` over its own."""
    (height, width), (mean, std) = module.size, _statistics(module)
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": module.features,
        "model_args": {**arguments, "num_classes": 0},
        "pretrained_cfg": {
            "input_size": [3, height, width],
            "fixed_input_size": "img_size" in arguments,
            "mean": list(mean),
            "std": list(std),
            "interpolation": "bicubic",
            "crop_mode": "center",
            "num_classes": 0,
        },
    }


def _crop_pct(size: int, short: int) -> float:
    """The share of which timm makes ⌊size / share⌋ = short."""
    return size / short if math.floor(size / (size / short)) == short else size / (short + 0.5)


def _ratio(module: Any) -> float:
    """The ratio of which others make the hidden width by rounding down."""
    ratio, hidden = module.mlp_ratio, round(module.mlp_ratio * module.width)
    if getattr(module, "gated", False):
        ratio, hidden = 2 * ratio, 2 * hidden
    return ratio if int(module.width * ratio) == hidden else (hidden + 0.5) / module.width


# timm's names of architectures stand for an eps; everything else is an argument.
_TIMM_EPS = {1e-6: "vit_base_patch16_224", 1e-5: "vit_base_patch16_clip_224"}

_TIMM_SWIGLU = "vit_giant_patch14_dinov2"  # whose mlp_ratio is that of both halves


def _timm_vit(module: Any) -> Described:
    what = "timm's VisionTransformer"
    gated = dict(eps=1e-6, activation="silu") if module.gated else {}
    _needs(
        module,
        what,
        **dict(eps=tuple(_TIMM_EPS)) | gated,
        positions=(*_TABLE, "none"),
        qkv_bias=(True, False),
        relative_bias="none",
        patch_bias=not module.pre_norm,
    )
    return _timm(
        _TIMM_SWIGLU if module.gated else _TIMM_EPS[module.eps],
        module,
        **_timm_sizes(module),
        qkv_bias=module.qkv_bias,
        init_values=module.layer_scale,
        act_layer=module.activation,
        pos_embed="none" if module.positions == "none" else "learn",
        class_token=module.class_token,
        global_pool="token" if module.class_token else "avg",
        pre_norm=module.pre_norm,
        final_norm=module.final_norm,
        fc_norm=False,
        # Their table has then a row for each patch alone, see `exporting`.
        **(dict(reg_tokens=module.registers, no_embed_class=True) if module.registers else {}),
    )


def _timm_beit(module: Any) -> Described:
    _needs(
        module,
        "timm's Beit",
        positions=(*_TABLE, "none"),
        eps=1e-6,
        activation="gelu",
        qkv_bias="qv",
        class_token=True,
        patch_bias=True,
        final_norm=True,
        pre_norm=False,
    )
    return _timm(
        "beit_base_patch16_224",
        module,
        **_timm_sizes(module),
        qkv_bias=True,
        init_values=module.layer_scale or 0.0,  # None would be the architecture's own
        global_pool="token",
        use_abs_pos_emb=module.positions != "none",
        use_rel_pos_bias=module.relative_bias == "layer",
        use_shared_rel_pos_bias=module.relative_bias == "shared",
    )


def _timm_sizes(module: Any) -> Described:
    return {
        "img_size": list(module.size),
        "patch_size": module.patch,
        "embed_dim": module.width,
        "depth": module.depth,
        "num_heads": module.heads,
        "mlp_ratio": _ratio(module),
    }


def _timm_swin(module: Any) -> Described:
    _check_windows(module, "timm's SwinTransformerV2")
    return _timm(
        "swinv2_base_window8_256",
        module,
        img_size=list(module.size),
        patch_size=module.stride,
        embed_dim=module.width,
        depths=list(module.depths),
        num_heads=list(module.heads),
        window_size=[[side, side] for side in _per_stage(module.window, module.depths)],
        mlp_ratio=_ratio(module),
        pretrained_window_sizes=_per_stage(module.pretrained_window, module.depths),
    )


def _timm_resnet(module: Any) -> Described:
    _needs(module, "timm's ResNet", stem="imagenet", width=64)
    if len(module.depths) != 4:
        raise ConfigError(f"timm's ResNet has four stages, and this one has depths {module.depths}")
    architecture = {"bottleneck": "resnet50", "basic": "resnet18"}[module.block]
    channels = [module.width * 2**stage for stage in range(len(module.depths))]
    return _timm(architecture, module, layers=list(module.depths), channels=channels)


def _check_windows(module: Any, what: str) -> None:
    """Refuses what the SwinV2 of others cannot be: they attend to the padding of a map."""
    _needs(module, what, final_norm=True)
    shifts = {module.shift} if isinstance(module.shift, bool) else set(module.shift)
    if shifts != {True}:
        raise ConfigError(f"{what} is an encoder with shift=True, and this one has {module.shift}")
    for cut in module.windows():
        if cut.padded != cut.grid:
            raise ConfigError(
                f"{what} attends to padding, and the windows of {cut.size} of this one do not "
                f"divide its map of {cut.grid}"
            )


# Our activations in transformers' names.
_ACTIVATIONS = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
    "relu": "relu",
    "silu": "silu",
}


def _transformers(kind: str, model: str, **fields: Any) -> Described:
    """A description for transformers: `model_type`, its class, and the fields of its config."""
    return {"model_type": kind, "architectures": [model], "dtype": "float32"} | fields


def _sizes(module: Any) -> Described:
    return {
        "hidden_size": module.width,
        "num_hidden_layers": module.depth,
        "num_attention_heads": module.heads,
        "image_size": _image(module),
        "patch_size": module.patch,
        "layer_norm_eps": module.eps,
        "hidden_act": _ACTIVATIONS[module.activation],
    }


def _image(module: Any) -> int | list[int]:
    height, width = module.size
    return height if height == width else [height, width]


def _hidden(module: Any) -> int:
    return round(module.mlp_ratio * module.width)


def _vit(module: Any) -> Described:
    _needs(
        module,
        "transformers' 'vit'",
        **_WHOLE,
        qkv_bias=(True, False),
        positions=_TABLE,
        registers=0,
    )
    return _transformers(
        "vit",
        "ViTModel",
        **_sizes(module),
        intermediate_size=_hidden(module),
        qkv_bias=module.qkv_bias,
        pooler_output_size=module.width,
        pooler_act="linear",  # with the pooler that is written, the class token as it is
    )


_TABLE = ("learned", "sincos", "tuned")
_WHOLE = dict(
    class_token=True, final_norm=True, patch_bias=True, pre_norm=False, relative_bias="none"
)


def _dinov2(module: Any) -> Described:
    fixed = _WHOLE | dict(positions=_TABLE) | (dict(activation="silu") if module.gated else {})
    _needs(module, "transformers' 'dinov2'", **fixed, qkv_bias=(True, False))
    ratio = dinov2_ratio(_hidden(module), module.width, gated=module.gated)
    fields = dict(
        **_sizes(module),
        mlp_ratio=ratio,
        use_swiglu_ffn=module.gated,
        qkv_bias=module.qkv_bias,
        layerscale_value=module.layer_scale or 1.0,
    )
    if module.registers:
        fields |= dict(num_register_tokens=module.registers)
        return _transformers("dinov2_with_registers", "Dinov2WithRegistersModel", **fields)
    return _transformers("dinov2", "Dinov2Model", **fields, use_mask_token=module.hide == "mask")


def _beit(module: Any) -> Described:
    _needs(
        module,
        "transformers' 'beit'",
        positions=(*_TABLE, "none"),
        class_token=True,
        qkv_bias="qv",
        patch_bias=True,
        pre_norm=False,
    )
    return _transformers(
        "beit",
        "BeitModel",
        **_sizes(module),
        intermediate_size=_hidden(module),
        layer_scale_init_value=module.layer_scale or 0.0,
        use_mask_token=module.hide == "mask",
        use_absolute_position_embeddings=module.positions != "none",
        use_relative_position_bias=module.relative_bias == "layer",
        use_shared_relative_position_bias=module.relative_bias == "shared",
        use_mean_pooling=not module.final_norm,
    )


def _clip(module: Any) -> Described:
    _needs(
        module,
        "transformers' 'clip_vision_model'",
        **_WHOLE | dict(patch_bias=False, pre_norm=True),
        qkv_bias=True,
        positions=_TABLE,
    )
    if module.size[0] != module.size[1]:
        raise ConfigError(f"transformers' 'clip_vision_model' sees squares, not {module.size}")
    return _transformers(
        "clip_vision_model",
        "CLIPVisionModel",
        **_sizes(module),
        intermediate_size=_hidden(module),
    )


def _swin(module: Any) -> Described:
    what = "transformers' 'swinv2'"
    _check_windows(module, what)
    windows = set(_per_stage(module.window, module.depths))
    if len(windows) > 1:
        raise ConfigError(f"{what} has windows of one size, and this one has {module.window}")
    for cut in module.windows():  # theirs are as high as the map lets them be, and as wide
        if cut.size[0] != cut.size[1] or cut.shift[0] != cut.shift[1]:
            raise ConfigError(f"{what} has square windows, and this one cuts {cut.grid} otherwise")
    return _transformers(
        "swinv2",
        "Swinv2Model",
        embed_dim=module.width,
        depths=list(module.depths),
        num_heads=list(module.heads),
        window_size=windows.pop(),
        pretrained_window_sizes=_per_stage(module.pretrained_window, module.depths),
        mlp_ratio=float(_ratio(module)),
        image_size=_image(module),
        patch_size=module.stride,
    )


def _resnet(module: Any) -> Described:
    _needs(module, "transformers' 'resnet'", stem="imagenet")
    stages = len(module.depths)
    return _transformers(
        "resnet",
        "ResNetModel",
        embedding_size=module.width,
        depths=list(module.depths),
        layer_type=module.block,
        hidden_sizes=[module.features >> (stages - 1 - stage) for stage in range(stages)],
        hidden_act="relu",
        downsample_in_first_stage=False,
    )


def _per_stage(value: Any, depths: Any) -> list[int]:
    return [value] * len(depths) if isinstance(value, int) else list(value)


DESCRIPTIONS: Mapping[str, Callable[[Any], Described]] = {
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
