"""The config.json of exported weights: what timm and transformers need to build the model.

Each description refuses an encoder that the library's model of that kind cannot be. How images are
normalised, resized and cut is part of it: transformers keeps that in a file of its own.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.interop import describe_transformers
from m3i_jax.interop.describe_needs import (
    PLAIN,
    TABLE,
    check_windows,
    needs,
    per_stage,
    ratio_rounded_down,
)
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


# timm's names of architectures stand for an eps; everything else is an argument.
_TIMM_EPS = {1e-6: "vit_base_patch16_224", 1e-5: "vit_base_patch16_clip_224"}

_TIMM_SWIGLU = "vit_giant_patch14_dinov2"  # whose mlp_ratio is that of both halves


def _timm_vit(module: Any) -> Described:
    what = "timm's VisionTransformer"
    gated = dict(eps=1e-6, activation="silu") if module.gated else {}
    needs(
        module,
        what,
        **dict(eps=tuple(_TIMM_EPS)) | gated,
        positions=(*TABLE, "none"),
        qkv_bias=(True, False),
        relative_bias="none",
        patch_bias=not module.pre_norm,
        qk_norm=("none", "layer"),
        **PLAIN,
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
        **(dict(qk_norm=True) if module.qk_norm != "none" else {}),
        # Their table has then a row for each patch alone, see `exporting`.
        **(dict(reg_tokens=module.registers, no_embed_class=True) if module.registers else {}),
    )


def _timm_beit(module: Any) -> Described:
    needs(
        module,
        "timm's Beit",
        positions=(*TABLE, "none"),
        eps=1e-6,
        activation="gelu",
        qkv_bias="qv",
        relative_bias=("none", "shared", "layer"),
        class_token=True,
        patch_bias=True,
        final_norm=True,
        pre_norm=False,
        **PLAIN,
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


def _timm_dinov3(module: Any) -> Described:
    needs(module, "timm's DINOv3", **_TURNED, eps=1e-5, rope="dinov3", inner_norm="none")
    needs(module, "timm's DINOv3", positions="rope", activation="silu" if module.gated else "gelu")
    return _timm(
        "vit_small_patch16_dinov3",
        module,
        **_timm_turned(module),
        num_reg_tokens=module.registers,
        init_values=module.layer_scale,
        rope_temperature=module.rope_base,
    )


def _timm_eva02(module: Any) -> Described:
    needs(module, "timm's EVA-02", **_TURNED, eps=1e-6, rope="eva02", registers=0)
    needs(module, "timm's EVA-02", positions="learned_rope", activation="silu", gated=True)
    return _timm(
        "eva02_tiny_patch14_224",
        module,
        **_timm_turned(module),
        init_values=module.layer_scale,
        scale_mlp=module.inner_norm != "none",
        scale_attn_inner=module.inner_norm == "both",
        rope_temperature=module.rope_base,
    )


_TURNED = dict(
    qkv_bias=("qv", False),
    relative_bias="none",
    class_token=True,
    final_norm=True,
    pre_norm=False,
    patch_bias=True,
    qk_norm=("none", "layer"),
    **PLAIN,
)


def _timm_turned(module: Any) -> Described:
    """Arguments of timm's Eva, whose mlp_ratio is that of either half."""
    return _timm_sizes(module) | {
        "mlp_ratio": ratio_rounded_down(module) / (2 if module.gated else 1),
        "qkv_bias": module.qkv_bias == "qv",
        "qk_norm": module.qk_norm != "none",
        "swiglu_mlp": module.gated,
        "swiglu_align_to": 1 if module.gated else 0,  # which makes gate and value layers apart
        "global_pool": "token",
        "dynamic_img_size": False,
    }


def _timm_aimv2(module: Any) -> Described:
    wanted = dict(
        window=0, patch_norm=True, norm="rms", block_bias=False, qkv_bias=False, gated=True
    )
    wanted |= dict(class_token=False, final_norm=True, pre_norm=False, relative_bias="none")
    needs(module, "timm's AIMv2", **wanted, eps=1e-5, activation="silu", positions=TABLE)
    sizes = _timm_sizes(module) | {"mlp_ratio": ratio_rounded_down(module) / 2}
    return _timm("aimv2_large_patch14_224", module, **sizes)


def _timm_sizes(module: Any) -> Described:
    return {
        "img_size": list(module.size),
        "patch_size": module.patch,
        "embed_dim": module.width,
        "depth": module.depth,
        "num_heads": module.heads,
        "mlp_ratio": ratio_rounded_down(module),
    }


def _timm_swin(module: Any) -> Described:
    check_windows(module, "timm's SwinTransformerV2")
    return _timm(
        "swinv2_base_window8_256",
        module,
        img_size=list(module.size),
        patch_size=module.stride,
        embed_dim=module.width,
        depths=list(module.depths),
        num_heads=list(module.heads),
        window_size=[[side, side] for side in per_stage(module.window, module.depths)],
        mlp_ratio=ratio_rounded_down(module),
        pretrained_window_sizes=per_stage(module.pretrained_window, module.depths),
    )


def _timm_resnet(module: Any) -> Described:
    needs(module, "timm's ResNet", stem="imagenet", width=64)
    if len(module.depths) != 4:
        raise ConfigError(f"timm's ResNet has four stages, and this one has depths {module.depths}")
    architecture = {"bottleneck": "resnet50", "basic": "resnet18"}[module.block]
    channels = [module.width * 2**stage for stage in range(len(module.depths))]
    return _timm(architecture, module, layers=list(module.depths), channels=channels)


DESCRIPTIONS: Mapping[str, Callable[[Any], Described]] = {
    "timm": _timm_vit,
    "beit": _timm_beit,
    "dinov3_timm": _timm_dinov3,
    "eva02_timm": _timm_eva02,
    "aimv2_timm": _timm_aimv2,
    "huggingface": describe_transformers.vit,
    "dinov3_huggingface": describe_transformers.dinov3,
    "dinov3_gated_huggingface": describe_transformers.dinov3,
    "dinov2_huggingface": describe_transformers.dinov2,
    "beit_huggingface": describe_transformers.beit,
    "clip_image_huggingface": describe_transformers.clip,
    "aimv2_huggingface": describe_transformers.aimv2,
    "swin_v2_timm": _timm_swin,
    "swin_v2_huggingface": describe_transformers.swin,
    "resnet": _timm_resnet,
    "resnet_huggingface": describe_transformers.resnet,
}
