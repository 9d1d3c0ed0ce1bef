"""Published recipes on ImageNet-1k."""

from ml_collections import ConfigDict

from m3i_jax.configs.recipes.parts import (
    BEIT_ADAMW,
    BLURRED,
    BOTTLENECK,
    CIM_ADAMW,
    CLOSED,
    COUNTED,
    ERASING,
    FINE_ADAMW,
    INPUT_VIEW,
    MIXED,
    NOTHING,
    RESNET,
    TARGET_VIEW,
    WHOLE,
    WITHOUT_NORM,
    WITHOUT_TOKENS,
    rand_augment,
    run,
)


def imagenet(**blocks) -> ConfigDict:
    """ViT-B/16 on ImageNet-1k in class folders, 1600 epochs at batch 4096 (M3I Table 7)."""
    settings = dict(
        duration="1600 epochs",
        warmup="40 epochs",
        epoch_size=1_281_167,
        data=dict(name="image_folder", root="data/imagenet"),
        crops=dict(scale=(0.08, 1.0), flip=0.5),
        augment=dict(a=TARGET_VIEW, b=INPUT_VIEW),
        encoder=dict(name="vit_b16", positions="sincos", drop_path=0.1),
        optimizer=dict(name="adamw", lr=1e-3, b2=0.95, weight_decay=0.1, clip=1.0),
    )
    return run(**{**settings, **blocks})


# OpenAI's ViT-B/16 as a teacher, and its projection into the space of texts.
CLIP_VIT = dict(
    name="vit_b16", positions="learned", pre_norm=True, patch_bias=False, activation="quick_gelu",
    eps=1e-5, normalization="clip",
)  # fmt: skip
CLIP_PROJECTION = dict(name="linear", out=512, bias=False, input="teacher")


def with_clip(**blocks) -> ConfigDict:
    """ImageNet in plain crops, and CLIP's ViT-B/16 as a frozen teacher."""
    settings = dict(
        augment=dict(),
        towers=dict(teacher=CLIP_VIT),
        weights=dict(teacher=dict(path="weights/clip_vit_b16")),
    )
    return imagenet(**{**settings, **blocks})


# BEiT's ViT: relative positions only, no bias on the keys. `MASKED_VIT` reads mask tokens.
BEIT_VIT = dict(
    name="vit_b16", positions="none", relative_bias="shared", qkv_bias="qv", layer_scale=0.1,
    drop_path=0.1, weight_init="beit",
)  # fmt: skip
# VQ-KD's encoder: pixels from −1 to 1.
TOKENIZER_VIT = dict(
    name="vit_b16", positions="learned", normalization="inception", weight_init="vq_kd"
)
MASKED_VIT = dict(BEIT_VIT, hide="mask")
# The bottleneck of VQ-KD as published: 32-dimensional tokens, in float32.
VQ_KD_BOTTLENECK = dict(BOTTLENECK, hidden=768, out=32, dtype="float32")


def simmim(**blocks) -> ConfigDict:
    """SimMIM's recipe at 192 pixels, a mask in cells of the code (docs/methods.md#simmim)."""
    settings = dict(
        image=192,
        batch=2048,
        duration="800 epochs",
        warmup="10 epochs",
        crops=dict(scale=(0.67, 1.0), flip=0.5, interpolation="bilinear"),
        augment=dict(),
        objective=dict(name="simmim", hidden=0.6, unit=1),
        target=dict(name="pixels", normalization="raw"),
        decoders=dict(pixels=dict(name="linear")),
        optimizer=dict(
            # The published rates, 1e-4 and 5e-7, are per 512 images.
            name="adamw", lr=4e-4, b2=0.999, weight_decay=0.05, clip=5.0,
            schedule=dict(
                name="milestones", milestones=(700 / 800,), factor=0.1, start=2e-6
            ),
            no_decay=WITHOUT_TOKENS,  # its Swin's; its ViT's mask token and position biases decay
        ),
    )  # fmt: skip
    return imagenet(**{**settings, **blocks})


# A ViT as in the code of BEiT, which CIM was written in, but for LayerScale and relative positions.
CIM_VIT = dict(positions="learned", weight_init="beit")


def cim(generator, heads, **blocks) -> ConfigDict:
    """CIM's pre-training, 300 epochs at batch 2048 on DALL-E's tokens (CIM Table 9).

    What the table leaves open, such as the rate at the end, is as in the code of BEiT
    (docs/methods.md#cim).

    generator: fields of a ViT of 4 blocks.  heads: of the enhancer.
    """
    generator = dict(CIM_VIT, name="vit_b16", depth=4, hide="mask") | generator
    settings = dict(
        batch=2048,
        duration="300 epochs",
        warmup="10 epochs",
        crops=dict(scale=(0.08, 1.0), flip=0.5),
        augment=dict(),
        towers=dict(generator=generator, tokenizer=dict(name="dalle_encoder")),
        weights=dict(tokenizer=dict(path="weights/dalle")),
        decoders=dict(
            heads,
            words=dict(name="linear", input="generator"),
            painter=dict(name="dalle_decoder", input="tokenizer"),
        ),
        optimizer=dict(CIM_ADAMW, lr=1.5e-3, end_lr=1e-5, schedule=CLOSED),
    )
    return imagenet(**{**settings, **blocks})


def beit(**blocks) -> ConfigDict:
    """BEiT's recipe, which data2vec follows: 800 epochs, batch 2048, colours.

    The heads start as MAE's, Xavier-uniform (docs/methods.md#beit).
    """
    jitter = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0, jitter=1.0)
    settings = dict(
        batch=2048,
        duration="800 epochs",
        warmup="10 epochs",
        augment=dict(a=dict(jitter, grayscale=0.0, blur=0.0)),
        encoder=MASKED_VIT,
        optimizer=dict(BEIT_ADAMW, lr=1.5e-3),
    )
    return imagenet(**{**settings, **blocks})


def beit_with_vq_kd(**blocks) -> ConfigDict:
    """BEiT's recipe on the visual tokens of the tokenizer of `imagenet/vq_kd_vit_b16.py`."""
    decoders = dict(blocks.pop("decoders"), bottleneck=dict(VQ_KD_BOTTLENECK, input="tokenizer"))
    return beit(
        towers=dict(tokenizer=TOKENIZER_VIT),
        weights=dict(tokenizer=dict(path="runs/vq_kd_vit_b16", branch="online")),
        decoders=decoders,
        **blocks,
    )


def moco_v2(**blocks) -> ConfigDict:
    """MoCo v2's recipe, which DenseCL follows: SGD, batch 256, 200 epochs (docs/methods.md#moco).

    The rate changes once an epoch.
    """
    settings = dict(
        batch=256,
        duration="200 epochs",
        warmup="0 steps",
        crops=dict(scale=(0.2, 1.0), flip=0.5, interpolation="bilinear"),
        augment=dict(a=BLURRED, b=BLURRED),
        encoder=RESNET,
        optimizer=dict(
            name="sgd", lr=0.03, schedule=dict(name="cosine", stairs=200), momentum=0.9,
            weight_decay=1e-4, no_decay=NOTHING,
        ),
    )  # fmt: skip
    return imagenet(**{**settings, **blocks})


def fine_tuned(path: str, **blocks) -> ConfigDict:
    """Fine-tuning as BEiT, MAE and their followers do it, from the run in `path`."""
    settings = dict(
        batch=1024,
        warmup="5 epochs",
        crops=rand_augment(9.0, scale=(0.08, 1.0), flip=0.5),
        augment=dict(a=ERASING),
        init_from=dict(path=path, ignore=WITHOUT_NORM),
        objective=MIXED,
        **COUNTED,
    )
    return imagenet(**{**settings, **blocks})


def simmim_fine_tuned(path: str, *, layer_decay: float, head: dict, **blocks) -> ConfigDict:
    """SimMIM's fine-tuning, 100 epochs at batch 2048; its rates are per 512 images."""
    optimizer = dict(
        FINE_ADAMW, lr=5e-3, end_lr=1e-6, schedule=dict(WHOLE, start=1e-6), weight_decay=0.05,
        layer_decay=layer_decay, clip=5.0,
    )  # fmt: skip
    settings = dict(batch=2048, duration="100 epochs", warmup="20 epochs", optimizer=optimizer)
    return fine_tuned(path, **{**settings, **head, **blocks})


def gaussian_codes(*, lr: float, **blocks) -> ConfigDict:
    """What LeJEPA and VISReg have in common in lightly's benchmark: ViT-S, 100 epochs, batch 256.

    All views are disturbed alike, and everything decays (docs/methods.md#lejepa).
    """
    colours = dict(blur=0.5, solarize=0.2)
    settings = dict(
        batch=256,
        duration="100 epochs",
        warmup="1 epochs",
        crops=dict(scale=(0.3, 1.0), flip=0.5, local_size=96, local_scale=(0.05, 0.3)),
        augment=dict(a=colours, b=colours, local=colours),
        encoder=dict(name="vit_s16", positions="learned", drop_path=0.1, weight_init="deit"),
        optimizer=dict(
            name="adamw", lr=lr, end_lr=lr / 1000, b2=0.999, weight_decay=0.05, no_decay=NOTHING,
            schedule=dict(name="cosine", start=lr / 100),
        ),
    )  # fmt: skip
    return imagenet(**{**settings, **blocks})


def large_batch(**blocks) -> ConfigDict:
    """What SimCLR, BYOL and Barlow Twins have in common: 1000 epochs, 10 of them warm-up.

    The last norm of every residual block starts at zero, as in their code.
    """
    encoder = dict(RESNET, zero_init=True)
    settings = dict(duration="1000 epochs", warmup="10 epochs", encoder=encoder)
    return imagenet(**{**settings, **blocks})
