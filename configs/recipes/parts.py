"""What recipes of all data sets are made of. Plain data: the library is not imported."""

import math

from ml_collections import ConfigDict

# Photometric strengths of docs/methods.md#two-views: the target (view 1 of the paper) is disturbed
# little, the input much.
TARGET_VIEW = dict(blur=0.1, solarize=0.2)
INPUT_VIEW = dict(blur=1.0, solarize=0.0)
# M3I whole (docs/methods.md#m3i), every argument of the method where a command line can reach it.
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
MONITOR = dict(every=5000, bank=4096, queries=2048)
# What has one dimension in the published code: biases, scales of norms, LayerScale, temperature.
ONE_DIMENSIONAL = r"(^|/)([a-z]+_)?(bias|scale|gamma)\d*$|/cpb_mlp/"
# What BEiT's code and others exempt beside these: class token and positions, not the mask token.
WITHOUT_CLASS = ONE_DIMENSIONAL + r"|(^|/)(cls_token|pos_embed)$"
# What SimMIM's code exempts in a Swin: mask token, positions and position biases.
WITHOUT_TOKENS = ONE_DIMENSIONAL + r"|(^|/)(cls_token|mask_token|pos_embed)$|relative_position"
# A pattern of no path, where every parameter decays; and of all paths but those of matrices.
NOTHING = r"(?!)"
NORMS = r"norm\d*/(bias|scale)$"  # of batch norms, where biases decay
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
            duration="100 epochs", warmup="0 steps", epoch_size=0, threads=0, unreadable=0.001,
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


CIM_ADAMW = dict(SMALL_ADAMW, b2=0.98, clip=3.0, no_decay=WITHOUT_CLASS)
# VQ-KD's way from features to 16-dimensional unit vectors.
BOTTLENECK = dict(
    name="mlp", hidden=128, out=16, layers=2, norm="none", activation="tanh", pool="none",
    unit_norm=True,
)  # fmt: skip
RESNET = dict(name="resnet50")
# Half of the views blurred, and stronger colours: MoCo v2 and MSN.
BLURRED = dict(saturation=0.4, blur=0.5)
# SimCLR's, which SwAV takes, too.
STRONG = dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, blur=0.5)
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
# Accuracy on the test split, of the network and of its average, whose classifier is kept for that.
COUNTED = dict(validation=dict(every="1 epochs"), average=dict(head=True))
# timm's cosine without a prefix, which has begun before the warm-up ends: Swin, SimMIM.
WHOLE = dict(name="cosine", whole=True)
# The colours of timm's recipes, which its `create_transform` leaves out beside RandAugment: the
# strength is said, the share of the images is none.
JITTER_OFF = dict(ERASING, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0)


def images_only(config: ConfigDict) -> ConfigDict:
    """An M3I config without categories and captions: self-supervised."""
    config.objective.category = config.objective.text = False
    if "text_weight" in config.objective:
        del config.objective.text_weight
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
