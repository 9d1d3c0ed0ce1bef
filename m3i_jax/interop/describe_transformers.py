"""What transformers needs to build the model of an encoder: its config.json."""

from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.interop.beside_transformers import dinov2_ratio
from m3i_jax.interop.describe_needs import (
    PLAIN,
    TABLE,
    check_windows,
    needs,
    per_stage,
    ratio_rounded_down,
)

Described = dict[str, Any]
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


def vit(module: Any) -> Described:
    """A ViT."""
    needs(
        module,
        "transformers' 'vit'",
        **_WHOLE,
        qkv_bias=(True, False),
        positions=TABLE,
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


_WHOLE = dict(
    class_token=True,
    final_norm=True,
    patch_bias=True,
    pre_norm=False,
    relative_bias="none",
    **PLAIN,
)


def dinov2(module: Any) -> Described:
    """A DINOv2, with or without registers."""
    fixed = _WHOLE | dict(positions=TABLE) | (dict(activation="silu") if module.gated else {})
    needs(module, "transformers' 'dinov2'", **fixed, qkv_bias=(True, False))
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


def dinov3(module: Any) -> Described:
    """A DINOv3: rotary positions, biases on queries and values or on neither."""
    fixed = _WHOLE | dict(positions="rope", rope="dinov3", qkv_bias=("qv", False))
    needs(module, "transformers' 'dinov3_vit'", **fixed)
    return _transformers(
        "dinov3_vit",
        "DINOv3ViTModel",
        **_sizes(module),
        intermediate_size=_hidden(module),
        use_gated_mlp=module.gated,
        layerscale_value=module.layer_scale or 1.0,
        num_register_tokens=module.registers,
        rope_theta=module.rope_base,
        query_bias=bool(module.qkv_bias),
        value_bias=bool(module.qkv_bias),
    )


def beit(module: Any) -> Described:
    """A BEiT."""
    needs(
        module,
        "transformers' 'beit'",
        positions=(*TABLE, "none"),
        class_token=True,
        qkv_bias="qv",
        relative_bias=("none", "shared", "layer"),
        patch_bias=True,
        pre_norm=False,
        **PLAIN,
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


def clip(module: Any) -> Described:
    """The images' half of a CLIP."""
    needs(
        module,
        "transformers' 'clip_vision_model'",
        **_WHOLE | dict(patch_bias=False, pre_norm=True),
        qkv_bias=True,
        positions=TABLE,
    )
    if module.size[0] != module.size[1]:
        raise ConfigError(f"transformers' 'clip_vision_model' sees squares, not {module.size}")
    return _transformers(
        "clip_vision_model",
        "CLIPVisionModel",
        **_sizes(module),
        intermediate_size=_hidden(module),
    )


def aimv2(module: Any) -> Described:
    """The images' half of an AIMv2."""
    needs(
        module,
        "transformers' 'aimv2_vision_model'",
        **_WHOLE
        | dict(class_token=False, norm="rms", block_bias=False, patch_norm=True, gated=True),
        qkv_bias=False,
        positions=TABLE,
    )
    if module.size[0] != module.size[1]:
        raise ConfigError(f"transformers' 'aimv2_vision_model' sees squares, not {module.size}")
    sizes = _sizes(module)
    return _transformers(
        "aimv2_vision_model",
        "Aimv2VisionModel",
        **{key: x for key, x in sizes.items() if key != "layer_norm_eps"},
        rms_norm_eps=module.eps,
        intermediate_size=_hidden(module),
        use_head=False,
    )


def swin(module: Any) -> Described:
    """A SwinV2."""
    what = "transformers' 'swinv2'"
    check_windows(module, what)
    windows = set(per_stage(module.window, module.depths))
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
        pretrained_window_sizes=per_stage(module.pretrained_window, module.depths),
        mlp_ratio=float(ratio_rounded_down(module)),
        image_size=_image(module),
        patch_size=module.stride,
    )


def resnet(module: Any) -> Described:
    """A ResNet."""
    needs(module, "transformers' 'resnet'", stem="imagenet")
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
