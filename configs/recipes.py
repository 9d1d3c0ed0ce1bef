"""What configs share. Plain data: nothing here imports the library, so configs load in no time."""

import math

from ml_collections import ConfigDict

# Photometric strengths of docs/methods.md#two-views: the target (view 1 of the paper) is disturbed
# little, the input much.
TARGET_VIEW = dict(blur=0.1, solarize=0.2)
INPUT_VIEW = dict(blur=1.0, solarize=0.0)
# M3I whole (docs/methods.md#m3i), every argument of the row where a command line can reach it.
M3I = dict(
    name="m3i",
    category=True,
    text=True,
    image=True,
    mix=True,
    hidden=0.5,
    target_view_first="same",
    target_view_second="different",
    decoder_tokens="own",
    positions="all",
    negative_weight=0.0,
    label_smoothing=0.1,
    category_weight=1.0,
    text_weight=1.0,
    mix_group=0,
)

# Heads of methods that compare global codes, for a small ViT (docs/methods.md has the full sizes).
MLP = dict(name="mlp", hidden=512, out=64, pool="mean", norm="batch")
PREDICTOR = dict(name="mlp", hidden=512, norm="batch", pool="class", input="projector")
QUERY = dict(name="query", width=128, depth=2, heads=4)

# A text tower for captions of a few words.
TEXT = dict(name="text_nano", width=64, depth=1, heads=2, vocabulary=512, length=16, unit_norm=True)

MONITOR = dict(every=5000, bank=4096, queries=2048)
# For pictures of 32 pixels and minutes of training: blurred as those of 224 pixels look by 2.
MILD = dict(
    brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, jitter=0.8, grayscale=0.2,
    sigma=(0.1 / 7, 2 / 7),
)  # fmt: skip

# What has one dimension in the published code: biases, scales of norms, LayerScale, temperature.
ONE_DIMENSIONAL = r"(^|/)([a-z]+_)?(bias|scale|gamma)\d*$|/cpb_mlp/"
# What BEiT's code and others exempt beside these: class token and positions, not the mask token.
WITHOUT_CLASS = ONE_DIMENSIONAL + r"|(^|/)(cls_token|pos_embed)$"
# What SimMIM's code exempts in a Swin: mask token, positions and position biases.
WITHOUT_TOKENS = ONE_DIMENSIONAL + r"|(^|/)(cls_token|mask_token|pos_embed)$|relative_position"
# A pattern of no path, where every parameter decays; and of all paths but those of matrices.
NOTHING = r"(?!)"
ALL_BUT_KERNELS = r"^(?!.*/kernel$)"
# CLIP's scale e^s is cut to [1, 100] behind every step.
TEMPERATURE = ((r"unit/logit_scale$", 0.0, math.log(100)),)
# A cosine whose warm-up ends on the peak, as DINO's and BEiT's code draws it.
CLOSED = dict(name="cosine", closed=True)
BEIT_ADAMW = dict(
    name="adamw", end_lr=1e-5, schedule=CLOSED, b2=0.999, weight_decay=0.05, clip=3.0,
    no_decay=WITHOUT_CLASS,
)  # fmt: skip
SMALL_ADAMW = dict(name="adamw", lr=1e-3, b2=0.95, weight_decay=0.05, clip=1.0)
# MSN exempts its prototypes from decay and from clipping.
MSN_RULES = dict(
    no_decay=ONE_DIMENSIONAL + "|^decoders/prototypes/",
    clip_by=("^encoders/image/|^decoders/projector/",),
)


def run(**blocks) -> ConfigDict:
    """A whole config: the blocks given, over what every run has."""
    config = ConfigDict(
        dict(
            seed=0, image=224, dtype="bfloat16", batch=4096, accumulate=1,
            duration="100 epochs", warmup="0 steps", epoch_size=0, threads=2, unreadable=0.001,
            data=dict(), crops=dict(), captions=dict(), augment=dict(),
            encoder=dict(), towers=dict(), decoders=dict(), objective=dict(), target=dict(),
            average=dict(), weights=dict(), init_from=dict(),
            weighting=dict(name="constant"), optimizer=dict(),
            mesh=dict(data=-1, fsdp=1), log=dict(every=50, images=5000),
            checkpoint=dict(every=2000, keep=2), monitor=MONITOR,
        )
    )  # fmt: skip
    for name, block in blocks.items():
        config[name] = ConfigDict(block) if isinstance(block, dict) else block
    return config


def digit_scenes(**blocks) -> ConfigDict:
    """A small ViT on the embedded data: minutes on two cores."""
    settings = dict(
        image=32,
        dtype="float32",
        batch=64,
        duration="1000 steps",
        warmup="100 steps",
        data=dict(name="digit_scenes"),
        crops=dict(scale=(0.7, 1.0), flip=0.0),
        augment=dict(a=dict(MILD, blur=0.1), b=dict(MILD, blur=1.0)),
        encoder=SMALL_VIT,
        average=dict(),  # with a momentum that fits the duration
        optimizer=SMALL_ADAMW,
        log=dict(every=10, images=500),
        checkpoint=dict(every=250, keep=2),
        monitor=dict(every=250, bank=1000, queries=500),
    )
    return run(**{**settings, **blocks})


SMALL_VIT = dict(name="vit_nano", patch=8)


def with_captions(**blocks) -> ConfigDict:
    """A digit-scenes run with a small text tower."""
    return digit_scenes(captions=dict(vocabulary=512, length=16), towers=dict(text=TEXT), **blocks)


def with_small_crops(**blocks) -> ConfigDict:
    """A digit-scenes run with small crops beside the two views."""
    return digit_scenes(
        crops=dict(scale=(0.7, 1.0), flip=0.0, local_size=16, local_scale=(0.2, 0.5)),
        augment=dict(a=MILD, b=MILD, local=MILD),
        **blocks,
    )


def with_teacher(run: str = "runs/classification", **blocks) -> ConfigDict:
    """A digit-scenes run with a frozen teacher, the encoder of another run."""
    return digit_scenes(
        towers=dict(teacher=SMALL_VIT), weights=dict(teacher=dict(path=run)), **blocks
    )


def with_tokenizer(**blocks) -> ConfigDict:
    """A digit-scenes run on the words of a tokenizer from `experiments/train_tokenizer.py`."""
    decoders = dict(blocks.pop("decoders"), bottleneck=BOTTLENECK | dict(input="tokenizer"))
    return digit_scenes(
        towers=dict(tokenizer=SMALL_VIT),
        weights=dict(tokenizer=dict(path="runs/tokenizer", branch="online")),
        decoders=decoders,
        **blocks,
    )


def with_painter(**blocks) -> ConfigDict:
    """A digit-scenes run on words that can be painted (`vq_vae_digit_scenes.py`)."""
    decoders = dict(
        blocks.pop("decoders"), bottleneck=BOTTLENECK | dict(input="tokenizer"), painter=PAINTER
    )
    towers = dict(blocks.pop("towers"), tokenizer=FINE_VIT)
    settings = dict(
        encoder=FINE_VIT,
        towers=towers,
        weights=dict(tokenizer=dict(path="runs/painter", branch="online")),
        decoders=decoders,
    )
    return digit_scenes(**{**settings, **blocks})


FINE_VIT = dict(name="vit_nano", patch=4)
# CIM's, of two blocks; and its rates (CIM Table 9), for digit scenes.
GENERATOR = dict(FINE_VIT, depth=2, hide="mask", positions="learned")
CIM_ADAMW = dict(SMALL_ADAMW, b2=0.98, clip=3.0, no_decay=WITHOUT_CLASS)
# From words to the 4 x 4 pixels of each.
PAINTER = dict(name="infill", width=128, depth=1, heads=4, input="bottleneck", out=48)
# VQ-KD's way from features to 16-dimensional unit vectors.
BOTTLENECK = dict(
    name="mlp", hidden=128, out=16, layers=2, norm="none", activation="tanh", pool="none",
    unit_norm=True,
)  # fmt: skip


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


YFCC = dict(epoch_size=15_000_000, data=dict(name="image_folder", root="data/yfcc15m"))


def images_with_texts(**blocks) -> ConfigDict:
    """SLIP's CLIP baseline but for its loss: ViT-B/16, YFCC-15M, 25 epochs."""
    settings = dict(
        duration="25 epochs",
        warmup="1 epochs",
        **YFCC,
        crops=dict(scale=(0.5, 1.0), flip=0.0, interpolation="bilinear"),
        augment=dict(),
        encoder=dict(name="vit_b16", positions="learned"),
        captions=dict(vocabulary=49408, length=77),
        towers=dict(text=dict(name="clip_text", vocabulary=49408, length=77, unit_norm=True)),
    )
    return imagenet(**{**settings, **blocks})


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
# The bottleneck of VQ-KD as published: 32-dimensional words, in float32.
WORDS = dict(BOTTLENECK, hidden=768, out=32, dtype="float32")


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
    """CIM's pre-training, 300 epochs at batch 2048 on DALL-E's words (CIM Table 9).

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


def beit_with_words(**blocks) -> ConfigDict:
    """BEiT's recipe on the words of the tokenizer of `vq_kd_vit_b16_in1k.py`."""
    decoders = dict(blocks.pop("decoders"), bottleneck=dict(WORDS, input="tokenizer"))
    return beit(
        towers=dict(tokenizer=TOKENIZER_VIT),
        weights=dict(tokenizer=dict(path="runs/vq_kd_vit_b16", branch="online")),
        decoders=decoders,
        **blocks,
    )


RESNET = dict(name="resnet50")
# Half of the views blurred, and stronger colours: MoCo v2 and MSN.
BLURRED = dict(saturation=0.4, blur=0.5)


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


def large_batch(**blocks) -> ConfigDict:
    """What SimCLR, BYOL and Barlow Twins have in common: 1000 epochs, 10 of them warm-up.

    The last norm of every residual block starts at zero, as in their code.
    """
    encoder = dict(RESNET, zero_init=True)
    settings = dict(duration="1000 epochs", warmup="10 epochs", encoder=encoder)
    return imagenet(**{**settings, **blocks})


LARS = dict(name="lars", momentum=0.9, trust=0.001)


def classifier(size: int, width: int, *, pool="mean", norm="none", deviation=0.02) -> dict:
    """Blocks of a linear classifier on the pooled vector; `deviation` of its first weights."""
    table = dict(name="table", size=size, width=width, bias=True, deviation=deviation)
    head = dict(name="pooled", pool=pool, norm=norm)
    return dict(towers=dict(category=table), decoders=dict(category=head))


def rand_augment(magnitude: float, **crops) -> dict:
    """Crops with RandAugment `magnitude`/.5 (docs/methods.md#fine-tuning)."""
    return dict(crops, rand_augment=dict(magnitude=magnitude, deviation=0.5, operations=2))


# No other colours than RandAugment's, and a rectangle of noise in a quarter of the images.
ERASING = dict(jitter=0.0, grayscale=0.0, blur=0.0, erasing=0.25)
# MAE's way to fine-tune, which SiameseIM and M3I follow: a new norm of the mean patch token in
# place of the encoder's own, a classifier that starts near 0, AdamW with layer decay.
FINE_TUNED = dict(final_norm=False, drop_path=0.1)
MIXED = dict(name="mixed_classification", mixup=0.8, cutmix=1.0, label_smoothing=0.1)
FINE_ADAMW = dict(name="adamw", end_lr=1e-6, b2=0.999, layer_decay=0.65, no_decay=WITHOUT_CLASS)
WITHOUT_NORM = r"mask_token$|/norm/|pos_embed$"  # what a run's encoder may have or lack


def images_only(config: ConfigDict) -> ConfigDict:
    """An M3I config without categories and captions: self-supervised."""
    config.objective.category = config.objective.text = False
    config.weighting = ConfigDict(dict(name="constant"))
    config.captions, config.towers = ConfigDict(), ConfigDict()
    config.decoders = ConfigDict(dict(image=config.decoders.image))
    return config


def table2(
    config: ConfigDict, form: str, *, image, projector, predictor, momentum=0.98
) -> ConfigDict:
    """A config of one of the forms of M3I's Table 2, with the decoders that the form has.

    image: decoder of pixels and dense features.  projector, predictor: heads of global ones.
    momentum: of the moving average at the start; 1 at the end. The same where nothing predicts it.
    """
    config.objective = ConfigDict(dict(name="table2", form=form, hidden=0.5, temperature=0.2))
    config.average = ConfigDict(dict(momentum=momentum, end=1.0))
    ema = dict(name="ema", momentum=momentum, end=1.0)
    if form in "cil":
        ema["heads"] = "projector"
        config.decoders = ConfigDict(dict(projector=projector, predictor=predictor))
    elif form == "f":
        head = dict(predictor, pool="mean", input="image")
        config.decoders = ConfigDict(dict(predictor=head))
    else:
        config.decoders = ConfigDict(dict(image=image))
    pixels = dict(name="pixels", normalization="patch")
    config.target = ConfigDict(pixels if form in "adgj" else ema)
    return config
